"""The ingress: HTTP in, OpenAI's shapes out. Knows nothing of engines or stores."""
