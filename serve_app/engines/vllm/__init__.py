"""vLLM's own server, in its own environment, behind our deployment. Nothing here imports vllm."""
