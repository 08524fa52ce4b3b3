"""What declared agents may call: HTTP APIs, the knowledge base, MCP servers, other agents."""
