"""What a choice is made from, and what it is. Knows nothing of time, requests or models."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Why(StrEnum):
    """Why a member answers, as `x-manta-route` and the metrics say it."""

    ONLY = "only"  # there is no other
    ASKED = "asked"  # by x-model-id
    CANARY = "canary"
    WEIGHTED = "weighted"
    LEAST_LOADED = "least_loaded"
    FASTEST = "fastest"
    AFFINITY = "affinity"
    SPILLED = "spilled"  # its member by affinity is fuller than the others
    FALLBACK = "fallback"
    SMALL = "small"  # of a cascade: nothing says that it is hard
    LENGTH = "length"  # of a cascade, and so are the next: the large one because of ...
    CODE = "code"
    LOGPROBS = "logprobs"
    JUDGE = "judge"


@dataclass(frozen=True, slots=True)
class Member:
    """A member at the moment of a choice."""

    model: str
    weight: float = 1.0
    canary: float | None = None  # its exact share of the requests
    num_running: int = 0
    latency_s: float | None = None  # to the first byte, as it was lately; None: not known
    is_cooling: bool = False  # it has failed often enough to be asked last


@dataclass(frozen=True, slots=True)
class Choice:
    """Whom to ask, and why."""

    model: str
    why: Why
