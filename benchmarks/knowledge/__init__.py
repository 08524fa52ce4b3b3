"""How fast the knowledge base's stores load, index and answer, beside the plain clients of the same servers."""
