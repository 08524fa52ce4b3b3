"""When each request leaves and what it says: drawn from a seed before the run."""
