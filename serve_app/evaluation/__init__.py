"""Judging: what a retrieval is worth (stage A), what an answer is worth (stage B), and datasets of both."""
