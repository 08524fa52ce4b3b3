"""Texts of a planned length: generated, or from files."""
