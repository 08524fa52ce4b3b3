"""Which series there are for Prometheus to read: the application's own, Ray's and vLLM's."""
