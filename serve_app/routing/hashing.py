"""Numbers from names that are the same in every process, and as even as random ones."""

from __future__ import annotations

import hashlib
import math
import random

_SPAN = float(2**53)


def unit(*names: str) -> float:
    """A number in (0, 1) for these names."""
    digest = hashlib.blake2b("\x1f".join(names).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return ((int.from_bytes(digest) >> 11) + 0.5) / _SPAN


def draw(rng: random.Random) -> float:
    """A random number in (0, 1), without its ends."""
    return (rng.getrandbits(53) + 0.5) / _SPAN


def ticket(number: float, weight: float) -> float:
    """Who has the highest wins: each with a probability in proportion to its weight.

    The number is in (0, 1), a random one or a hash. With a hash this is weighted rendezvous hashing: when a member
    comes or goes, only its own keys move. (P. Efraimidis, P. Spirakis, "Weighted random sampling with a reservoir",
    2006; D. Thaler, C. Ravishankar, "Using name-based mappings to increase hit rates", 1998.)
    """
    return -weight / math.log(number)
