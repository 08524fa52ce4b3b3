"""The reference page of all settings, made from the schema's own descriptions.

`make docs` writes it to docs/configuration.md; a test compares the two.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from configs.schema import PlatformConfig

_INTRO = """# Configuration

Generated from `configs/schema.py` by `make docs`; do not edit.

A profile (`configs/*.yaml`) is a Serve config file whose application's `args` are the settings
below. Unknown keys are errors. `manta config check PROFILE` names every fault with its key.
"""


def render() -> str:
    """The whole page as Markdown."""
    return _INTRO + "".join(_section(model) for model in parts())


def parts() -> list[type[BaseModel]]:
    """Every part of the tree once, in the order in which a reader meets them."""
    found: list[type[BaseModel]] = [PlatformConfig]
    for model in found:  # grows while it is walked
        for info in model.model_fields.values():
            found.extend(part for part in _parts_of(info.annotation) if part not in found)
    return found


def _parts_of(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _parts_of(argument)


def _section(model: type[BaseModel]) -> str:
    title = "The whole (`args`)" if model is PlatformConfig else model.__name__
    lines = [f"\n## {title}\n", f"{(model.__doc__ or '').strip()}\n"]
    lines += ["| key | type | default | what it is |", "|---|---|---|---|"]
    lines += [_row(name, info) for name, info in model.model_fields.items()]
    return "\n".join(lines) + "\n"


def _row(name: str, info: FieldInfo) -> str:
    default = "required" if info.is_required() else _value(info.default)
    description = info.description or "Which kind this is."
    return f"| `{name}` | {_type(info.annotation)} | {default} | {' '.join(description.split())} |"


def _value(default: Any) -> str:
    if isinstance(default, BaseModel):
        given = default.model_dump(exclude_unset=True)
        return f"`{json.dumps(given)}`" if given else "its defaults"
    if default is None:
        return "none"
    return f"`{json.dumps(default)}`"


def _type(annotation: Any) -> str:
    origin = get_origin(annotation)
    arguments = [argument for argument in get_args(annotation) if argument is not Ellipsis]
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(argument) for argument in arguments if argument is not type(None))
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        anchor = annotation.__name__.lower()
        return f"[{annotation.__name__}](#{anchor})"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return names.get(annotation, str(annotation))
