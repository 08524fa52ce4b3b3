"""What every embedder of our own shares, whatever computes its vectors: queue, tokens, deadlines, health."""
