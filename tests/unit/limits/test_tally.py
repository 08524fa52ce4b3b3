"""What tenants use, as metrics."""

from __future__ import annotations

from typing import Any

import pytest

from serve_app.limits.base import NANO_PER_USD, Check, Kind, Standing, UsageRow
from serve_app.limits.calendar import Calendar
from serve_app.limits.tally import MAX_TENANTS, OTHERS, Tally
from serve_app.telemetry.metrics import (
    BUDGET_USED,
    TENANT_COST,
    TENANT_REFUSED,
    TENANT_REQUESTS,
    TENANT_TOKENS,
    Metric,
)

DAY_S = 86_400.0
BUDGET = Check(Kind.DAY, "tenant:a", 10 * NANO_PER_USD)

Told = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Metrics:
    """Keeps what it is told, as Ray's instruments would."""

    def __init__(self) -> None:
        self.counts: Told = {}
        self.gauges: Told = {}

    def count(self, metric: Metric, amount: float = 1.0, **labels: str) -> None:
        assert (set(labels), metric.kind) == (set(metric.labels), "counter")
        key = metric.name, frozenset(labels.items())
        self.counts[key] = self.counts.get(key, 0.0) + amount

    def put(self, metric: Metric, value: float, **labels: str) -> None:
        assert (set(labels), metric.kind) == (set(metric.labels), "gauge")
        self.gauges[metric.name, frozenset(labels.items())] = value

    def counted(self, metric: Metric, **labels: str) -> float | None:
        return self.counts.get((metric.name, frozenset(labels.items())))

    def budget(self, scope: str = "tenant:a", period: str = "day") -> float | None:
        return self.gauges.get((BUDGET_USED.name, frozenset({"scope": scope, "period": period}.items())))


class Time:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def tally(metrics: Metrics, clock: Time) -> Tally:
    return Tally(metrics.count, metrics.put, Calendar(clock, lambda: 0.0))


def used(tenant: str = "a", model: str = "m", **fields: Any) -> UsageRow:
    return UsageRow("", tenant, "key-1", model, **{"num_requests": 1, **fields})


def test_what_was_used_is_told_once_by_tenant_and_model(tally: Tally, metrics: Metrics) -> None:
    for _ in range(2):
        tally.used(used(num_prompt_tokens=10, num_answer_tokens=3, nano_usd=NANO_PER_USD // 4))
    tally.used(used(model="other"))
    tally.used(used(model=""))  # of no model: it costs nothing
    assert metrics.counts == {}
    tally.tell()
    tally.tell()
    assert metrics.counted(TENANT_REQUESTS, tenant="a", model="m") == 2
    assert metrics.counted(TENANT_REQUESTS, tenant="a", model="other") == 1
    assert metrics.counted(TENANT_REQUESTS, tenant="a", model="") is None
    assert metrics.counted(TENANT_TOKENS, tenant="a", model="m", kind="prompt") == 20
    assert metrics.counted(TENANT_TOKENS, tenant="a", model="m", kind="completion") == 6
    assert metrics.counted(TENANT_COST, tenant="a", model="m") == pytest.approx(0.5)


def test_refusals_say_what_was_limited(tally: Tally, metrics: Metrics) -> None:
    tally.refused("a", "m", BUDGET)
    tally.refused("a", None, Check(Kind.REQUESTS, "tenant:a", 1, 1))
    tally.tell()
    assert metrics.counted(TENANT_REFUSED, tenant="a", model="m", limit="day") == 1
    assert metrics.counted(TENANT_REFUSED, tenant="a", model="", limit="requests") == 1


def test_a_budget_that_is_spent_is_whole_again_the_next_day(
    tally: Tally, metrics: Metrics, clock: Time
) -> None:
    tally.seen([Standing(BUDGET, remaining=2.5 * NANO_PER_USD)])
    tally.tell()
    assert metrics.budget() == pytest.approx(0.75)
    tally.seen([Standing(BUDGET, remaining=0.0)])
    tally.tell()
    assert metrics.budget() == 1.0
    clock.now_s += DAY_S
    tally.tell()
    assert metrics.budget() == 0.0


def test_budgets_of_keys_and_other_limits_have_no_series(tally: Tally, metrics: Metrics) -> None:
    tally.seen(
        [Standing(Check(Kind.DAY, "key:1", 10.0), 1.0), Standing(Check(Kind.TOKENS, "tenant:a", 9), 1)]
    )
    tally.tell()
    assert metrics.gauges == {}


def test_names_that_anybody_makes_up_cost_no_more_than_so_many_series(tally: Tally, metrics: Metrics) -> None:
    for number in range(MAX_TENANTS + 500):
        tally.used(used(tenant=f"made-up-{number}"))
        tally.tell()
    assert metrics.counted(TENANT_REQUESTS, tenant=OTHERS, model="m") == 500
    tenants = {dict(labels)["tenant"] for name, labels in metrics.counts if name == TENANT_REQUESTS.name}
    assert len(tenants) == MAX_TENANTS + 1


async def test_the_last_ones_are_told_at_the_end(tally: Tally, metrics: Metrics) -> None:
    tally.used(used())
    await tally.close()
    assert metrics.counted(TENANT_REQUESTS, tenant="a", model="m") == 1
