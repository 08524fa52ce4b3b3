"""Hours of mixed load, and whether anything grows in them: memory, files, threads, connections."""
