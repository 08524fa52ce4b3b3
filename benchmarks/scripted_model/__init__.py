"""A chat model whose answers follow from its prompt by rules: a writer that is easily misled, and a judge."""
