"""How much each may use: requests, tokens, concurrency, money. Knows nothing of HTTP or of who anybody is."""
