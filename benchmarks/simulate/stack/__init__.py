"""The stack in simulated time: routers, replicas, what scales them, and their nodes. Knows no workload."""
