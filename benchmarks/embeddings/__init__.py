"""Tokens per second of embedders: Manta's engines and what people use instead, in turns on the same texts."""
