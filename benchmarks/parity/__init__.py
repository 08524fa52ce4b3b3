"""Whether a server answers as another one does: bare `vllm serve`, and the same through Manta."""
