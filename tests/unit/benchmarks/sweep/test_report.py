from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.sweep.points import Point
from benchmarks.sweep.report import report_of, sentences
from benchmarks.sweep.result import Sweep, document
from benchmarks.sweep.search import Stop
from benchmarks.sweep.text import state
from configs.workload import Workload


def point(rate_rps: float, *, saturated: bool = False, attainment: float | None = 0.99) -> Point:
    return Point(
        rate_rps,
        num_requests=100,
        num_errors=0,
        is_saturated=saturated,
        attainment=attainment,
        objective=None if attainment is None else 0.95,
        goodput_rps=None if attainment is None else rate_rps * attainment,
        folder=f"point-{rate_rps:g}",
    )


FOUND = Sweep(
    (
        point(10),
        point(20, attainment=0.5),
        point(20, attainment=0.5),
        point(40, saturated=True, attainment=0.1),
        point(40, saturated=True, attainment=0.1),
    ),
    Stop("every limit is known within 5%", "complete"),
)


def test_both_limits_are_said_with_what_is_above_them() -> None:
    assert sentences(FOUND) == [
        "the server sustains 20 requests/s, and not 40",
        "the server attains its objectives at 10 requests/s, and not 20",
        "most goodput: 10 requests/s, offered 20",
        "stopped: every limit is known within 5%",
    ]


def test_a_limit_that_was_not_reached_is_not_made_up() -> None:
    open_ended = Sweep((point(10, attainment=None),), Stop("interrupted", "interrupted"))
    assert sentences(open_ended) == [
        "the server sustains 10 requests/s and perhaps more: no higher rate failed",
        "stopped: interrupted",
    ]
    below = Sweep((point(1, saturated=True), point(1, saturated=True)), Stop("not even 1", "bound"))
    assert sentences(below)[0] == "the server sustains no rate that was measured; the lowest was 1 requests/s"


def test_what_a_run_was_too_short_to_tell_is_said() -> None:
    short = replace(point(20, attainment=None), is_saturated=None, saturation="requests take up to 2.0 s")
    sweep = Sweep((point(10, attainment=None), short), Stop("interrupted", "interrupted"))
    assert sentences(sweep)[:2] == [
        "the server sustains 20 requests/s and perhaps more: no higher rate failed",
        "not proved: that it keeps up with 20 requests/s (requests take up to 2.0 s)",
    ]
    assert document(sweep)["unproved_rps"] == [20]
    assert state(short) == "sustained, as far as can be told"
    assert [one.is_saturated for one in report_of(sweep, "sweep", {}, Workload()).points] == [False, None]


def test_the_page_gets_every_point_and_its_report() -> None:
    report = report_of(FOUND, "sweep", {}, Workload())
    assert (report.knee_rps, report.best_rps) == (20, 10)
    assert [one.offered_rps for one in report.points] == [10, 20, 20, 40, 40]
    assert report.points[0].link == "point-10/report.html"


@pytest.mark.parametrize(
    ("stop", "code"),
    [
        (Stop("", "complete"), 0),
        (Stop("", "bound"), 0),
        (Stop("", "gone"), 2),
        (Stop("", "client"), 3),
        (Stop("", "interrupted"), 130),
    ],
)
def test_exit_codes(stop: Stop, code: int) -> None:
    assert Sweep((point(10),), stop).exit_code == code


def test_objectives_that_no_rate_attains_fail_a_build() -> None:
    assert Sweep((point(1, attainment=0.2),) * 2, Stop("", "bound")).exit_code == 1
    assert Sweep((), Stop("", "interrupted")).exit_code == 130
