"""Random numbers by name: each aspect of a schedule draws from a stream of its own.

So another distribution of output lengths leaves arrivals, prompts and everything else as they were, and
two workloads with the same seed can be compared request by request.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, name: str) -> np.random.Generator:
    """The generator that belongs to a name, such as "arrivals"; the same for the same seed and name.

    It is a child of the seed's SeedSequence whose spawn key is the name's hash, so streams are as
    independent as children that numpy spawns itself. Bits depend on numpy's version: its generators'
    methods may change between releases, which the lock files rule out.
    """
    words = np.frombuffer(hashlib.sha256(name.encode()).digest()[:16], dtype="<u4")
    sequence = np.random.SeedSequence(seed, spawn_key=tuple(words.tolist()))
    return np.random.Generator(np.random.PCG64(sequence))
