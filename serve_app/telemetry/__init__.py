"""Metrics: names, units, buckets, and how they leave the process."""
