"""Web search: what the agent asks of it, and a fixture."""
