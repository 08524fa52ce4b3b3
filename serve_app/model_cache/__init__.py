"""Model weights on this machine: where they come from, their checksums, their conversion."""
