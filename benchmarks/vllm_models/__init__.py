"""Models for vLLM that are made on the spot: random weights, a tokenizer of our own, nothing to download."""
