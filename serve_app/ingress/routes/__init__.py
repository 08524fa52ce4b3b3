"""The routes, one noun a file. Each `router(...)` takes what its routes need and nothing else."""
