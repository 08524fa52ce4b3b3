"""The stream channel: all streams between two replicas in one connection."""
