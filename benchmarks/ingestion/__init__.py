"""How near ingestion comes to the speed of its embedder, and how it grows with workers."""
