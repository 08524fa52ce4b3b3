"""The ONNX Runtime engine, for embeddings."""
