"""vLLM on AWS's NeuronCores: checks before anything starts, and what the plugins want to be told."""
