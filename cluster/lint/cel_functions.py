"""The functions of CEL that rules of CRDs call. A method's first argument is what it is called on."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import SplitResult, urlsplit

from cluster.lint.quantities import amount

# Go's durations: https://pkg.go.dev/time#ParseDuration; seconds a unit.
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(
    r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))*|0"
)


class CelError(Exception):
    """An expression that cannot be read, or has no value."""


def duration_s(text: object) -> float | None:
    """Seconds of a Go duration, `1h30m`; None for what is none."""
    if not isinstance(text, str) or not _DURATION.fullmatch(text):
        return None
    total = sum(
        float(number) * _UNITS[unit]
        for number, _, unit in re.findall(r"([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)", text)
    )
    return -total if text.startswith("-") else total


def _duration(text: object) -> float:
    seconds = duration_s(text)
    if seconds is None:
        raise CelError(f"{text!r} is no duration")
    return seconds


def _quantity(text: object) -> float:
    found = amount(text)
    if found is None:
        raise CelError(f"{text!r} is no quantity")
    return found


def _size(value: Any) -> int:
    if not isinstance(value, (str, list, dict)):
        raise CelError("no size")
    return len(value)


def _int(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError) as exc:
        raise CelError(f"{value!r} is no whole number") from exc


def _string(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


@cache
def _regex(pattern: str) -> re.Pattern[str]:
    # Go takes (?i) anywhere, Python at the start.
    flags = "(?i)" if "(?i)" in pattern else ""
    try:
        return re.compile(flags + pattern.replace("(?i)", ""))
    except re.error as exc:
        raise CelError(f"the pattern {pattern!r} is not known here") from exc


def _matches(text: Any, pattern: Any) -> bool:
    return _regex(pattern).search(_text(text)) is not None


def _find(text: Any, pattern: Any) -> str:
    match = _regex(pattern).search(_text(text))
    return match[0] if match else ""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise CelError("no text where one is asked")
    return value


def _url(text: Any) -> SplitResult:
    parts = urlsplit(_text(text))
    if not parts.scheme or not (parts.netloc or parts.path.startswith("/")):
        raise CelError(f"{text!r} is no URL")
    return parts


def _is(parse: Callable[[Any], Any]) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        try:
            parse(value)
        except (CelError, ValueError):
            return False
        return True

    return check


def _substring(text: Any, start: int, end: int | None = None) -> str:
    return _text(text)[start:end]


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "size": _size,
    "int": _int,
    "uint": _int,
    "double": float,
    "string": _string,
    "dyn": lambda value: value,
    "duration": _duration,
    "quantity": _quantity,
    "isQuantity": _is(_quantity),
    "matches": _matches,
    "url": _url,
    "isURL": _is(_url),
    "isIP": _is(lambda value: ipaddress.ip_address(_text(value))),
    "isCIDR": _is(lambda value: ipaddress.ip_network(_text(value), strict=False)),
}
METHODS: dict[str, Callable[..., Any]] = {
    "size": _size,
    "matches": _matches,
    "find": _find,
    "findAll": lambda text, pattern: [match[0] for match in _regex(pattern).finditer(_text(text))],
    "startsWith": lambda text, part: _text(text).startswith(part),
    "endsWith": lambda text, part: _text(text).endswith(part),
    "contains": lambda text, part: part in _text(text),
    "indexOf": lambda value, part: value.find(part)
    if isinstance(value, str)
    else (value.index(part) if part in value else -1),
    "lastIndexOf": lambda text, part: _text(text).rfind(part),
    "substring": _substring,
    "split": lambda text, part: _text(text).split(part),
    "join": lambda items, part="": part.join(items),
    "replace": lambda text, old, new: _text(text).replace(old, new),
    "lowerAscii": lambda text: _text(text).lower(),
    "upperAscii": lambda text: _text(text).upper(),
    "trim": lambda text: _text(text).strip(),
    "isSorted": lambda items: items == sorted(items),
    "sum": sum,
    "min": min,
    "max": max,
    "isLessThan": lambda a, b: a < b,
    "isGreaterThan": lambda a, b: a > b,
    "compareTo": lambda a, b: (a > b) - (a < b),
    "getScheme": lambda url: url.scheme,
    "getHost": lambda url: url.netloc,
    "getHostname": lambda url: url.hostname or "",
    "getPort": lambda url: str(url.port or ""),
}
