"""Which paths of a source are wanted: globs as in .gitignore, over paths with slashes.

`*` and `?` stay inside a name, `**` crosses folders; a pattern without a slash matches names in any
folder. Knows nothing of files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from serve_app.errors import ConfigError


def chooser(include: Sequence[str], exclude: Sequence[str]) -> Callable[[str], bool]:
    """Whether a path matches one of `include` (or there are none), and none of `exclude`.

    Raises:
        ConfigError: a pattern is none; it is named.
    """
    wanted, unwanted = [_compiled(one) for one in include], [_compiled(one) for one in exclude]

    def chooses(path: str) -> bool:
        is_in = not wanted or any(one.fullmatch(path) for one in wanted)
        return is_in and not any(one.fullmatch(path) for one in unwanted)

    return chooses


def _compiled(pattern: str) -> re.Pattern[str]:
    anywhere = "" if "/" in pattern.rstrip("/") else "**/"
    whole = anywhere + pattern.removeprefix("/")
    parts = re.findall(r"\*\*/|/\*\*$|\*\*|\*|\?|\[!?\]?[^\]/]*\]|.", whole, re.DOTALL)
    try:
        return re.compile(
            "".join(map(_translated, parts)) + ("(?:.*)?" if whole.endswith("/") else ""), re.DOTALL
        )
    except re.error as exc:
        raise ConfigError(f"the pattern {pattern!r} is no glob: {exc}") from exc


_WILD = {"**/": "(?:[^/]+/)*", "/**": "/.*", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def _translated(part: str) -> str:
    if part in _WILD:
        return _WILD[part]
    if len(part) > 1 and part.startswith("["):
        inside = re.sub(r"([\[\]\\&~|^]|(?<=-)-)", r"\\\1", part[1:-1])
        return f"[^/{inside[1:]}]" if inside.startswith("!") else f"[{inside}]"
    return re.escape(part)
