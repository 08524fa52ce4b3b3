"""Waiting for what is scaled to zero."""
