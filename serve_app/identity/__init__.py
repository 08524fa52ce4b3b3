"""Who asks: API keys, an issuer's tokens, a gateway in front. Knows nothing of routes or of limits."""
