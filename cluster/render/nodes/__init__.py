"""Nodes: how they are made, what may be bought and taken away, and which are kept warm."""
