"""Hundreds of requests that end in every way: whatever happened to them, the engine has nothing left of them."""

from __future__ import annotations

import random
from pathlib import Path

from benchmarks.gguf_models.random_llama import named_model
from benchmarks.llamacpp_chat.soak import open_soaked, soak_round


async def test_nothing_is_left_of_requests_however_they_ended(tmp_path: Path) -> None:
    engine = open_soaked(named_model(tmp_path, "tiny:F16"), num_sequences=8)
    rng = random.Random(5)
    try:
        rounds = [await soak_round(engine, 150, 24, rng) for _ in range(3)]
    finally:
        await engine.close()
    assert [one.faults for one in rounds] == [[], [], []]
    ended = {outcome for one in rounds for outcome in one.outcomes}
    assert ended >= {"answered", "left", "cancelled", "refused: InputTooLong", "refused: DeadlineExceeded"}
    assert sum(sum(one.outcomes.values()) for one in rounds) == 450
