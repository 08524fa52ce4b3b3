"""Measurements of a running Manta, over HTTP: `python -m benchmarks NAME`."""
