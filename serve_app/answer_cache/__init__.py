"""The answer cache: exact and semantic, in memory or in Redis, and one computation for the same requests at once."""
