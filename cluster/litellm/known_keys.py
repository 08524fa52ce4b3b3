"""Whether LiteLLM knows a key. It ignores those that it does not know, so a misspelt one would change nothing."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from configs.load import ProfileError


def check(section: str, given: Mapping[str, Any], where: str) -> None:
    """Return if every key of a section of LiteLLM's file is known.

    Raises:
        ProfileError: one is not; it is named by `where`, with the nearest one that is.
    """
    known = known_keys()[section]
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ProfileError(f"{where}.{key}: LiteLLM {version()} knows no such key{hint}")


@cache
def known_keys() -> dict[str, frozenset[str]]:
    """Section -> its keys, as `list_keys` found them."""
    return {name: frozenset(keys) for name, keys in _document().items() if name != "version"}


def version() -> str:
    """Of the LiteLLM whose keys these are."""
    found: str = _document()["version"]
    return found


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(Path(__file__).with_name("known_keys.json").read_text())
    return document
