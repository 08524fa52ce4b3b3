"""GGUF files of a given shape with random weights: the speed of a model, and nothing of its sense."""
