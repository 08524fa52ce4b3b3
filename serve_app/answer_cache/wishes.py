"""What a request says about the cache, in its headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from serve_app.errors import BadRequest

CACHE = "x-manta-cache"
_MODES = ("off", "exact", "semantic")
# A day and more is longer than anything is kept.
_MAX_AGE = re.compile(r"max-age=(\d{1,9})")


@dataclass(frozen=True, slots=True)
class Wishes:
    """Args:
    mode: off, exact, semantic; None: not said.
    reads: whether a kept answer will do.
    max_age_s: how old it may be; None: as old as it is kept.
    """

    mode: str | None = None
    reads: bool = True
    max_age_s: float | None = None


def read_wishes(headers: Mapping[str, str]) -> Wishes:
    """By `x-manta-cache` and `cache-control` (RFC 9111, 5.2.1).

    `no-store` keeps the request away from the cache altogether: nothing is kept of it, nor is it joined with others.

    Raises:
        BadRequest: `x-manta-cache` is not understood.
    """
    mode = headers.get(CACHE)
    if mode is not None:
        mode = mode.strip().lower()
        if mode not in _MODES:
            raise BadRequest(f"the header {CACHE} is {', '.join(_MODES)}, not {mode!r:.40}", CACHE)
    control = headers.get("cache-control", "").lower()
    directives = {one.strip() for one in control.split(",")}
    if "no-store" in directives:
        mode = "off"
    max_age = next((float(found[1]) for one in directives if (found := _MAX_AGE.fullmatch(one))), None)
    return Wishes(mode, "no-cache" not in directives, max_age)
