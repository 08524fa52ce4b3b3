"""How well the knowledge base finds what is relevant, on judged collections."""
