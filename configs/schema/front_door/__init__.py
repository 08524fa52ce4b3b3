"""Who may ask, how much, which model answers, and what is kept from them."""
