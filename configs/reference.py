"""The reference page of all settings, made from the schema's own descriptions.

`make docs` writes it to docs/configuration.md; a test compares the two.
"""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from configs.schema import PlatformConfig
from configs.simulation import Simulation
from configs.workload import Workload

_INTRO = """# Configuration

Generated from `configs/*.py` by `make docs`; do not edit. Unknown keys are errors everywhere.
"""

# Root of a tree -> what stands above its sections.
_TREES: dict[type[BaseModel], str] = {
    PlatformConfig: """
# Profiles

A profile (`configs/*.yaml`) is a Serve config file whose application's `args` are the settings
below. `manta config check PROFILE` names every fault with its key.
""",
    Workload: """
# Workloads

A workload (`configs/workloads/*.yaml`) is what `manta bench run` sends: a file with the settings below.
Where a setting takes a length, a whole number is that length every time.
""",
    Simulation: """
# Simulations

A simulation is what `manta bench simulate` runs: a file with the settings below. A setting that takes one number or
a list draws one of the list each time. Replicas have the settings of a profile (`ScalingConfig`).
""",
}
_TITLES: dict[type[BaseModel], str] = {PlatformConfig: "The whole (`args`)"}


def render() -> str:
    """The whole page as Markdown."""
    sections = [_INTRO]
    seen: list[type[BaseModel]] = []  # what two trees share stands in the first
    for root, intro in _TREES.items():
        new = [part for part in _parts_under(root) if part not in seen]
        sections += [intro, *map(_section, new)]
        seen += new
    return "".join(sections)


def parts() -> list[type[BaseModel]]:
    """Every part of every tree, in the order in which a reader meets them."""
    return list(dict.fromkeys(part for root in _TREES for part in _parts_under(root)))


def _parts_under(root: type[BaseModel]) -> list[type[BaseModel]]:
    found = [root]
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
    title = _TITLES.get(model, model.__name__)
    lines = [f"\n## {title}\n", f"{inspect.cleandoc(model.__doc__ or '')}\n"]
    lines += ["| key | type | default | what it is |", "|---|---|---|---|"]
    lines += [_row(name, info) for name, info in model.model_fields.items()]
    return "\n".join(lines) + "\n"


def _row(name: str, info: FieldInfo) -> str:
    default = "required" if info.is_required() else _value(info.default)
    description = info.description or "Which kind this is."
    return f"| `{name}` | {_type(info.annotation)} | {default} | {' '.join(description.split())} |"


def _value(default: Any) -> str:
    if isinstance(default, BaseModel):
        given = default.model_dump(mode="json", exclude_unset=True)
        return f"`{json.dumps(given)}`" if given else "its defaults"
    if isinstance(default, tuple) and default and isinstance(default[0], BaseModel):
        return f"`{json.dumps([part.model_dump(mode='json', exclude_unset=True) for part in default])}`"
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
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", dict: "mapping"}
    return names.get(origin or annotation, str(annotation))
