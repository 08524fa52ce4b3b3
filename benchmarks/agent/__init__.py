"""What the agent's pipeline costs besides its models: time, and calls of models."""
