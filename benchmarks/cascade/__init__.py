"""Cost and quality of a cascade of two models."""
