"""A line for each decision: who asked what, and what came of it. Never what was said."""
