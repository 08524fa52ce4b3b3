"""The knowledge base: loaders, chunks, stores, fusion, and the sync that keeps them current."""
