"""The `manta` command: one front for the application, its knowledge base, its models and its benchmarks."""
