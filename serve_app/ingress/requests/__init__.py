"""What comes in: a context, a body, a connection."""
