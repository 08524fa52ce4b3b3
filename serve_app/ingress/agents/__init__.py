"""The agents, as the routes and MCP clients see them."""
