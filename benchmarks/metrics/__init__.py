"""One file a metric: its name, its unit, its formula, and when it has no value."""
