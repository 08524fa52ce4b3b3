"""The live view: what it says, and that it never holds up a run."""

from __future__ import annotations

import io
import threading
from typing import Any

from rich.console import Console

from benchmarks.records import ClientSample
from benchmarks.run.live import LiveView, line, recent, view
from benchmarks.run.progress import Progress


def sample(at_s: float, worker: int = 0, **changes: Any) -> ClientSample:
    fields: dict[str, Any] = {
        "num_sent": 10,
        "num_ended": 9,
        "num_in_flight": 5,
        "num_connections": 5,
        "cpu": 0.2,
        "cpu_wait": 0.01,
        "lag_max_ms": 1.0,
        "lag_p50_ms": 0.1,
        "lag_p99_ms": 0.4,
        "ttft_ms": [50.0, 60.0],
    }
    return ClientSample(worker=worker, at_s=at_s, **(fields | changes))


def progress(at_s: float = 20.0, samples: tuple[ClientSample, ...] | None = None, **changes: Any) -> Progress:
    if samples is None:
        samples = tuple(
            sample(float(second), worker) for second in range(1, int(at_s) + 1) for worker in (0, 1)
        )
    fields: dict[str, Any] = {
        "at_s": at_s,
        "duration_s": 60.0,
        "num_scheduled": 1200,
        "num_sent": 400,
        "num_ended": 390,
        "num_in_flight": 10,
        "num_outcomes": {"ok": 390},
        "samples": samples,
    }
    return Progress(**(fields | changes))


def drawn(now: Progress, *, colours: bool = False) -> str:
    console = Console(
        file=io.StringIO(), width=110, force_terminal=colours, color_system="standard" if colours else None
    )
    console.print(view("desk", now))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_it_says_how_far_the_run_is() -> None:
    words = drawn(progress())
    for expected in (
        "desk",
        "20 s of 1 min, 40 s left",
        "400 of 1,200 sent",
        "390 ended",
        "10 in flight",
        "none",
    ):
        assert expected in words
    assert "all sent, waiting for 10 answers" in drawn(progress(61.0))


def test_rates_and_percentiles_are_of_the_last_seconds_of_all_workers() -> None:
    slow_start = tuple(sample(float(second), ttft_ms=[9000.0], num_sent=99) for second in range(1, 11))
    now = recent(progress(samples=(*slow_start, *progress().samples[20:])))
    assert now.sent_rps == 20
    assert now.ended_rps == 18
    assert now.ttft_ms == [50.0] * 20 + [60.0] * 20


def test_samples_need_not_come_in_order() -> None:
    shuffled = (sample(9.0), sample(11.0, 1), sample(10.0), sample(10.0, 1), sample(11.0), sample(9.0, 1))
    assert recent(progress(samples=shuffled)).sent_rps == 20


def test_without_samples_nothing_is_made_up() -> None:
    words = drawn(progress(0.2, samples=(), num_sent=0, num_ended=0, num_outcomes={}))
    assert "\N{EN DASH} sent/s" in words
    assert "ttft" not in words
    assert "CPU" not in words


def test_errors_are_told_by_kind_and_planned_departures_are_none() -> None:
    outcomes = {"ok": 300, "timeout": 9, "refused": 30, "abandoned": 40, "interrupted": 1}
    words = drawn(progress(num_outcomes=outcomes, num_ended=380))
    assert "30 refused (429, or 503 with Retry-After), 9 timed out" in words
    assert "abandoned" not in words
    assert "39 errors" in line(progress(num_outcomes=outcomes))


def test_colours_tell_when_the_client_endangers_the_run() -> None:
    well = drawn(progress(), colours=True)
    assert "\x1b[32mlag p99 0.4 ms" in well
    assert "\x1b[32mCPU 20.0 %" in well
    busy = drawn(progress(samples=(sample(5.0, cpu=0.97, lag_p99_ms=2.0),)), colours=True)
    assert "\x1b[1;31mCPU 97.0 %" in busy
    assert "\x1b[33mlag p99 2.00 ms" in busy  # 4 % of a median ttft of 50 ms; 5 % make it invalid
    late = drawn(progress(samples=(sample(5.0, lag_p99_ms=3.0),)), colours=True)
    assert "\x1b[1;31mlag p99 3.00 ms" in late


def test_without_a_terminal_there_is_a_line_every_few_seconds() -> None:
    file = io.StringIO()
    with LiveView("desk", Console(file=file, force_terminal=False, width=40)) as live:
        for second in range(1, 13):
            live.show(progress(float(second)))
    lines = file.getvalue().splitlines()
    assert [words.split(" of ")[0] for words in lines] == ["1 s", "6 s", "11 s"]
    assert "ttft p50 50.0, p95 60.0, p99 60.0 ms" in lines[-1]


class Stuck(io.StringIO):
    """A terminal that takes no more until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.is_free = threading.Event()
        self.is_asked = threading.Event()

    def write(self, text: str) -> int:
        self.is_asked.set()
        assert self.is_free.wait(60)
        return super().write(text)


def test_a_terminal_that_takes_no_more_does_not_hold_up_the_run() -> None:
    file = Stuck()
    with LiveView("desk", Console(file=file, force_terminal=False)) as live:
        live.show(progress(1.0))
        assert file.is_asked.wait(60)
        for second in range(2, 500):
            live.show(progress(float(second), samples=()))  # would never return if it printed itself
        file.is_free.set()
    assert file.getvalue()


def test_on_a_terminal_the_view_is_drawn_and_taken_away_again() -> None:
    file = io.StringIO()
    with LiveView("desk", Console(file=file, force_terminal=True, width=110)) as live:
        live.show(progress())
    words = file.getvalue()
    assert "400 of 1,200 sent" in words  # the last one is always drawn
    assert words.endswith("\x1b[2K")
