"""What counts as growth, and what does not."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from benchmarks.soak.growth import Trend, changes, trends
from benchmarks.soak.run import summarise
from benchmarks.soak.sampling import ProcessSample, Sample
from benchmarks.soak.text import as_text

Shape = Callable[[int], float]


HELD = ProcessSample(
    pid=7,
    kind="replica Ingress",
    rss_mib=200.0,
    pss_mib=100.0,
    num_fds=50,
    num_sockets=20,
    num_threads=30,
    cpu_s=1.0,
)


def process(**values: Any) -> ProcessSample:
    return msgspec.structs.replace(HELD, **values)


def soak(series: str, shape: Shape, num: int = 100, before: float = 0.0, after: float = 0.0) -> list[Sample]:
    """`num` samples under load with one series of that shape, and one each before and after it."""
    base = 50.0
    loaded = [
        Sample(10.0 + n * 30.0, "load", [process(**{series: round(base + shape(n), 3)})]) for n in range(num)
    ]
    return [
        Sample(0.0, "idle before", [process(**{series: base + before})]),
        *loaded,
        Sample(9999.0, "idle after", [process(**{series: base + after})]),
    ]


def the(series: str, samples: list[Sample]) -> Trend:
    (found,) = [trend for trend in trends(samples) if trend.series == series]
    return found


@pytest.mark.parametrize("series", ["pss_mib", "num_fds", "num_sockets", "num_threads"])
def test_a_steady_rise_is_found(series: str) -> None:
    trend = the(series, soak(series, lambda n: n * 0.1))
    assert trend.is_flat is False
    # 0.1 every 30 s.
    assert trend.growth_per_hour == pytest.approx(12.0, rel=0.1)


def test_noise_is_no_growth() -> None:
    rng = random.Random(1)
    assert the("num_fds", soak("num_fds", lambda _: rng.randrange(20))).is_flat


def test_a_rise_below_what_anybody_notices_is_none() -> None:
    assert the("pss_mib", soak("pss_mib", lambda n: n * 0.005)).is_flat


def test_what_fills_at_the_start_is_left_out() -> None:
    assert the("pss_mib", soak("pss_mib", lambda n: min(n, 15) * 3.0)).is_flat


def test_a_fall_is_fine() -> None:
    assert the("num_threads", soak("num_threads", lambda n: -n * 0.2)).is_flat


def test_files_that_stay_open_after_the_load_are_a_leak() -> None:
    trend = the("num_fds", soak("num_fds", lambda _: 10.0, after=10.0))
    assert trend.kept == 10.0
    assert trend.is_flat is False


def test_threads_of_a_pool_may_stay() -> None:
    assert the("num_threads", soak("num_threads", lambda _: 5.0, after=5.0)).is_flat


def test_a_short_soak_tells_nothing() -> None:
    assert the("num_fds", soak("num_fds", lambda n: n, num=6)).is_flat is None
    assert trends([]) == []


def test_processes_that_come_and_go_are_named_and_not_judged() -> None:
    samples = soak("num_fds", lambda _: 0.0)
    samples[-2].processes.append(process(pid=8, kind="replica Agent"))
    samples[1].processes.append(process(pid=9, kind="ray IDLE"))
    assert {trend.pid for trend in trends(samples)} == {7}
    assert changes(samples) == ["ray IDLE (9) ended", "replica Agent (8) started"]


def test_only_the_applications_own_processes_decide() -> None:
    own = trends(soak("num_fds", lambda _: 0.0))
    foreign = trends(
        [
            Sample(s.at_s, s.phase, [process(kind="gcs_server", pss_mib=100 + s.at_s)])
            for s in soak("num_fds", lambda _: 0.0)
        ]
    )
    summary = summarise([*own, *foreign], [])
    assert summary["is_flat"] is True
    assert summarise(trends(soak("num_fds", lambda n: n)), [])["is_flat"] is False
    assert summarise([], [])["is_flat"] is None
    text = as_text(summary | {"changes": [], "still_running": {"Agent": 2.0}, "not_given_back": {}})
    assert "Agent 2" in text
    assert "gcs_server" in text
    assert "own processes: flat" in text
