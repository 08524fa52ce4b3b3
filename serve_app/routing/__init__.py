"""Which model answers: groups, fallbacks, cascades."""
