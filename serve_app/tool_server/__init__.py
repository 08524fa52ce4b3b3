"""Tools offered over MCP: typed parameters and results, errors of our tree, one exchange a request."""
