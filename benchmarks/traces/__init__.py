"""Recorded traces: who asked when, how much, and what prompts have in common."""
