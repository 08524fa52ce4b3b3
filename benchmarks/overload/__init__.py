"""What an application does with more requests than it has capacity for."""
