"""How the sources stand, as a metric."""

from __future__ import annotations

import asyncio

from serve_app.errors import Unavailable
from serve_app.messages import KnowledgeStatus, RequestContext, SourceStanding, Standing
from serve_app.retrieval.told_standings import ToldStandings
from serve_app.telemetry.metrics import SOURCES, Metric


def standing(source: str, kind: Standing) -> SourceStanding:
    return SourceStanding(source, kind, "", 1, 0, 0, 0, 0, 0, "", "", (), ())


class Base:
    """Tenants' bases, of which only the standings count here."""

    def __init__(self, **standings: tuple[SourceStanding, ...]) -> None:
        self.standings = standings
        self.is_gone = False

    async def status(self, context: RequestContext) -> KnowledgeStatus:
        if self.is_gone:
            raise Unavailable("gone")
        return KnowledgeStatus(0, 0, {}, 0, "", "memory", self.standings.get(context.tenant, ()))


class Gauge:
    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.told = asyncio.Event()

    def __call__(self, metric: Metric, value: float, **labels: str) -> None:
        assert metric is SOURCES
        self.values[labels["standing"]] = value
        self.told.set()


async def forever(seconds: float) -> None:
    await asyncio.Event().wait()


async def test_sources_of_all_tenants_are_counted_and_those_nobody_looked_at_too() -> None:
    base = Base(
        a=(standing("docs", Standing.STALE), standing("sent by hand", Standing.FAILING)),
        b=(standing("docs", Standing.FRESH),),
    )
    gauge = Gauge()
    told = ToldStandings(base.status, {("a", "docs"), ("b", "docs"), ("b", "new")}, gauge, forever)
    await gauge.told.wait()
    await told.close()
    assert gauge.values == {"fresh": 1, "stale": 1, "never_synced": 1, "failing": 0}


async def test_a_base_that_cannot_be_read_is_told_nothing_of_and_asked_again() -> None:
    base, gauge = Base(), Gauge()
    base.is_gone = True
    values: list[dict[str, float]] = []

    async def sleep(seconds: float) -> None:
        values.append(dict(gauge.values))
        if len(values) == 3:
            base.is_gone = False
        await asyncio.sleep(0)

    told = ToldStandings(base.status, {("a", "docs")}, gauge, sleep)
    await gauge.told.wait()
    await told.close()
    assert values[:3] == [{}, {}, {}]
    assert gauge.values["never_synced"] == 1


async def test_it_is_told_more_often_than_ray_forgets_it() -> None:
    base, gauge, slept_s, num_told = Base(), Gauge(), [0.0], [0]

    def put(metric: Metric, value: float, **labels: str) -> None:
        num_told[0] += labels["standing"] == "fresh"

    async def sleep(seconds: float) -> None:
        slept_s[0] += seconds
        if slept_s[0] >= 300.0:
            gauge.told.set()
            await forever(seconds)
        await asyncio.sleep(0)

    told = ToldStandings(base.status, {("a", "docs")}, put, sleep)
    await gauge.told.wait()
    await told.close()
    assert num_told[0] >= 300.0 / 10.0  # a worker of Ray's reports every 10 s


async def test_without_sources_there_is_nothing_to_tell() -> None:
    gauge = Gauge()
    told = ToldStandings(Base().status, (), gauge, forever)
    await asyncio.sleep(0)
    await told.close()
    assert gauge.values == {}
