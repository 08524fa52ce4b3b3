"""llama.cpp in process: text and vectors of GGUF models."""
