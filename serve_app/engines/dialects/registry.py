"""Which dialect a model's chat template speaks. Templates name the markers that the model was trained on."""

from __future__ import annotations

from serve_app.engines.dialects.base import Dialect
from serve_app.engines.dialects.hermes import Hermes
from serve_app.engines.dialects.llama3 import Llama3
from serve_app.engines.dialects.reasoning import CLOSE

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (Hermes(), Llama3())}


def choose_dialect(wanted: str, template: str | None) -> Dialect | None:
    """How the model writes calls; None: it knows none, or a way that nobody here can read.

    Args:
        wanted: `auto`, `none`, or a dialect's name.
        template: the model's chat template.
    """
    if wanted != "auto":
        return DIALECTS.get(wanted)
    source = template or ""
    if "<tool_call>" in source and '"arguments"' in source.replace("\\", ""):
        return DIALECTS["hermes"]
    if "<|start_header_id|>" in source and '"parameters"' in source.replace("\\", ""):
        return DIALECTS["llama3"]
    return None


def can_think(wanted: str, template: str | None) -> bool:
    """Whether the model may open an answer with its thoughts; `wanted` is `auto`, `none` or `think`."""
    if wanted == "auto":
        return CLOSE in (template or "")
    return wanted == "think"
