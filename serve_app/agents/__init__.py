"""Agents that are declared in the configuration: a model and tools in a loop, within limits."""
