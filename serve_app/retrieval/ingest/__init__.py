"""Ingestion at scale: the same sync as a streaming pipeline on Ray Data, for sources larger than memory."""
