from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.simulate.stack.events import Events
from configs.simulation import ServiceModel, Stack

MakeStack = Callable[..., Stack]


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def service() -> ServiceModel:
    """A step of 10 ms, 1 ms for each running sequence, 0.1 ms for each token of a prompt; chunks of 100."""
    return ServiceModel(
        overhead_ms=0.0,
        step_ms=10,
        step_us_per_running=1000,
        prefill_us_per_token=100,
        max_batched_tokens=100,
        max_running=4,
    )


@pytest.fixture
def make_stack(service: ServiceModel) -> MakeStack:
    def make(**changes: object) -> Stack:
        return Stack.model_validate({"service": service, "replica_start_s": 5.0} | changes)

    return make
