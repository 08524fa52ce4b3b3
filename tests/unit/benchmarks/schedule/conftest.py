from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.prompts.generated import prepare_prompts
from benchmarks.schedule.draw import draw
from benchmarks.schedule.planned import Bodies, Schedule
from configs.workload import Workload

Draw = Callable[..., tuple[Schedule, list[Any]]]


@pytest.fixture
def drawn(tmp_path: Path) -> Draw:
    """Draws a workload's document; gives the schedule, and its bodies decoded (text where it is a later turn)."""

    def make(document: dict[str, Any], model: str = "m", **options: bool) -> tuple[Schedule, list[Any]]:
        workload = Workload.model_validate(document)
        # Without a tokenizer a word stands for a token, so tests can count.
        prompts = prepare_prompts(workload.seed, [])
        schedule = draw(workload, model, prompts, tmp_path / "schedule", **options)
        bodies = Bodies(schedule.bodies_path)
        raw = [bodies.of(request) for request in schedule.requests]
        bodies.close()
        return schedule, [
            json.loads(body) if request.turn == 0 else body.decode()
            for request, body in zip(schedule.requests, raw, strict=True)
        ]

    return make


@pytest.fixture
def trace(tmp_path: Path) -> Callable[..., str]:
    """Writes lines of a trace of Manta's own format; gives its path."""

    def write(*lines: dict[str, Any]) -> str:
        path = tmp_path / "trace.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return str(path)

    return write
