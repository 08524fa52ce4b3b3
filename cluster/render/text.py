"""Objects as text: the same text for the same objects, on every machine.

Knows no object. Keys stay in the order in which they were written, which is the order in which people read them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import yaml


class _Dumper(yaml.CSafeDumper):
    """Block style throughout; texts of several lines as `|`; no anchors, which reviewers would have to follow."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def as_yaml(documents: Iterable[Mapping[str, Any]], header: str = "") -> str:
    """Documents of one file, `---` between them.

    Args:
        header: lines of a comment above them, without `#`.
    """
    comment = "".join(f"# {line}\n" for line in header.splitlines())
    return comment + yaml.dump_all(
        documents,
        Dumper=_Dumper,
        sort_keys=False,
        default_flow_style=False,
        allow_unicode=True,
        width=110,
        explicit_start=False,
    )


def as_json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
