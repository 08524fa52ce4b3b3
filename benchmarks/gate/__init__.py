"""How well stage A of the gate tells passages that answer from others."""
