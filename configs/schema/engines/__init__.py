"""Models, embedders, rerankers: how each is had and where its weights are."""
