"""Engines: what turns a request into text or vectors. `base` is the contract, `registry` picks one."""
