"""LiteLLM's proxy in front of the application: its configuration, what it needs besides, and a way to run it here."""
