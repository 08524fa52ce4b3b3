"""A model of this stack in simulated time: what a workload would do to it, and what it would cost."""
