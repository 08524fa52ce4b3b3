"""Kubernetes' quantities as numbers: cores, bytes, counts."""

from __future__ import annotations

import re

QUANTITY = re.compile(
    r"[+-]?(?P<number>[0-9]+(\.[0-9]*)?|\.[0-9]+)(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+(\.[0-9]*)?)?"
)
_ENDLESS = 1e30  # more than the largest suffix of anything; and no infinity
_FACTORS = {
    "": 1.0,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    **{suffix: 1e3**power for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": 1024.0**power for power, suffix in enumerate("KMGTPE", start=1)},
}


def amount(value: object) -> float | None:
    """`2`, `500m` and `4Gi` as 2.0, 0.5 and 4294967296.0; None for what is no quantity."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value) if abs(value) < _ENDLESS else None
    match = QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    suffix = match["suffix"] or ""
    factor = _FACTORS[suffix] if suffix in _FACTORS else float(f"1{suffix}")
    sign = -1 if str(value).startswith("-") else 1
    number = float(match["number"]) * factor
    return sign * number if number < _ENDLESS else None


def gib(num_bytes: float) -> str:
    """`24.5 GiB`"""
    return f"{num_bytes / 1024**3:.4g} GiB"
