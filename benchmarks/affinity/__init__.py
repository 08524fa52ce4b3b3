"""What it brings and costs to keep requests together on one of a model's replicas."""
