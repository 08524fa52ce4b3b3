"""Processes that embed: each is a library or an engine of its own, behind the same lines of JSON."""
