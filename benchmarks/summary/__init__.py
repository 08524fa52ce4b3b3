"""What a run comes to, and whether it may be believed: made from its raw records alone."""
