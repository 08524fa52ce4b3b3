"""Processes of their own, one a side: a store of Manta's, or a plain client, on the same made-up corpus."""
