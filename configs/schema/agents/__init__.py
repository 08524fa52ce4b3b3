"""The answer pipeline, agents of one's own, and their tools."""
