"""What the servers are given alike, and Manta's own configuration for it.

Written as JSON, which is YAML too; nothing but `configs.load` reads it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.llamacpp_chat.cases import Case

MODEL = "random"
# What every request asks for besides its length. min_p differs from server to server where it is not said; the model
# ends no text by itself, so ignore_eos changes nothing where it is not known.
SAMPLING: dict[str, object] = {
    "temperature": 0.8,
    "top_k": 40,
    "top_p": 0.95,
    "min_p": 0.0,
    "ignore_eos": True,
}
TIMEOUT_S = 600.0  # of a request: the last one behind a lock waits for all the others
# More than there ever are: what is measured is the engine, not a limit.
_MAX_ONGOING = 512


@dataclass(frozen=True, slots=True)
class Settings:
    """Of all servers.

    Args:
        gguf: the model's file.
        num_threads: of llama.cpp.
        step_tokens: of one step of Manta's engine; None: its default.
    """

    gguf: Path
    num_threads: int
    step_tokens: int | None = None


def engine_config(settings: Settings, case: Case) -> dict[str, Any]:
    """Manta's model: as many sequences as callers, each with the case's context."""
    config = {
        "name": MODEL,
        "engine": "llamacpp",
        "weights": {"path": str(settings.gguf)},
        "context_tokens": case.context_tokens,
        "max_sequences": case.num_callers,
        "num_threads": settings.num_threads,
        "scaling": _scaling(),
    }
    if settings.step_tokens is not None:
        config["max_step_tokens"] = settings.step_tokens
    return config


def write_engine_config(folder: Path, settings: Settings, case: Case) -> Path:
    """The model's configuration as a file, for the engine without Ray."""
    path = folder / "engine.json"
    path.write_text(json.dumps(engine_config(settings, case), indent=2), encoding="utf-8")
    return path


def platform(settings: Settings, case: Case) -> dict[str, Any]:
    """For `manta up`: the model, and of the rest the least that there may be."""
    return {
        "ingress": {"scaling": _scaling(), "default_deadline_s": TIMEOUT_S, "max_deadline_s": TIMEOUT_S},
        "models": [engine_config(settings, case)],
        "embedder": {"name": "embedder", "engine": "mock"},
        "knowledge": {"store": {"kind": "memory"}},
        "agent": {"name": "manta", "models": [MODEL], "scaling": _scaling()},
    }


def _scaling() -> dict[str, Any]:
    return {
        "max_ongoing_requests": _MAX_ONGOING,
        "max_queued_requests": _MAX_ONGOING,
        "max_queue_wait_s": TIMEOUT_S,
    }
