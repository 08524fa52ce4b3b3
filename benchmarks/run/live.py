"""How a run goes, on the terminal while it goes: a view that is drawn anew each second, or plain lines.

Shows and never decides; what it is told it draws from a thread of its own, so that a terminal that takes no
more output cannot hold up the run. Everything goes to stderr.
"""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from benchmarks.records import ClientSample, Outcome
from benchmarks.report.judgements import OUTCOME_WORDS
from benchmarks.report.wording import NOTHING, count, figure, number, seconds, share
from benchmarks.run.progress import Progress
from benchmarks.summary.certification import MAX_CPU, MAX_SHARE

RECENT_S = 10.0
PLAIN_EVERY_S = 5.0
DRAWS_PER_S = 2.0
_NEAR = 0.6  # of a limit at which the client would make the run invalid
_NO_FAILURE = frozenset({Outcome.OK, Outcome.ABANDONED, Outcome.INTERRUPTED})


class LiveView:
    """A context around a run; give `show` to it as `on_progress`."""

    def __init__(self, name: str, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._view: _Drawn | _Plain = (
            _Drawn(name, self._console) if self._console.is_terminal else _Plain(self._console)
        )

    def __enter__(self) -> Self:
        self._view.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._view.stop()

    def show(self, progress: Progress) -> None:
        """Take note; returns at once."""
        self._view.show(progress)


class _Drawn:
    """rich's own thread asks for the latest view; `show` takes no lock that a stuck terminal could hold."""

    def __init__(self, name: str, console: Console) -> None:
        self._name = name
        self._latest: Progress | None = None
        self._live = Live(
            console=console,
            get_renderable=self._view,
            refresh_per_second=DRAWS_PER_S,
            transient=True,
            redirect_stdout=False,
        )

    def start(self) -> None:
        self._live.start()

    def stop(self) -> None:
        self._live.stop()

    def show(self, progress: Progress) -> None:
        self._latest = progress

    def _view(self) -> RenderableType:
        return Text(f"{self._name}: starting") if self._latest is None else view(self._name, self._latest)


class _Plain:
    """A line every few seconds, for logs and CI."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._print, name="progress", daemon=True)
        self._next_s = 0.0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._lines.put(None)
        self._thread.join(timeout=1.0)  # a reader that takes no more loses the last lines, not the run

    def show(self, progress: Progress) -> None:
        if progress.at_s >= self._next_s:
            self._next_s = progress.at_s + PLAIN_EVERY_S
            self._lines.put(line(progress))

    def _print(self) -> None:
        while (words := self._lines.get()) is not None:
            self._console.print(words, markup=False, soft_wrap=True)


# ---------------------------------------------------------------- what is said


@dataclass(frozen=True, slots=True)
class Recent:
    """The last seconds of all workers together. None: nothing to tell it from.

    Args:
        lag_p99_ms, lag_max_ms, cpu, cpu_wait: of the worker that is worst.
    """

    sent_rps: float | None
    ended_rps: float | None
    ttft_ms: Sequence[float]  # ascending
    lag_p99_ms: float | None
    lag_max_ms: float | None
    cpu: float | None
    cpu_wait: float | None


def recent(progress: Progress) -> Recent:
    """What the samples of the last RECENT_S seconds say."""
    samples = list(_last(progress.samples, RECENT_S))
    if not samples:
        return Recent(None, None, (), None, None, None, None)
    stretch_s = len({round(sample.at_s) for sample in samples})
    waits = [sample.cpu_wait for sample in samples if sample.cpu_wait is not None]
    return Recent(
        sent_rps=sum(sample.num_sent for sample in samples) / stretch_s,
        ended_rps=sum(sample.num_ended for sample in samples) / stretch_s,
        ttft_ms=sorted(value for sample in samples for value in sample.ttft_ms),
        lag_p99_ms=max(sample.lag_p99_ms for sample in samples),
        lag_max_ms=max(sample.lag_max_ms for sample in samples),
        cpu=max(sample.cpu for sample in samples),
        cpu_wait=max(waits) if waits else None,
    )


def view(name: str, progress: Progress) -> RenderableType:
    """The whole view, a few lines high."""
    now = recent(progress)
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    rows.add_row(
        "requests",
        f"{progress.num_sent:,} of {progress.num_scheduled:,} sent, {progress.num_ended:,} ended, "
        f"[bold]{progress.num_in_flight:,}[/] in flight",
    )
    rows.add_row("rate", f"{number(now.sent_rps)} sent/s, {number(now.ended_rps)} ended/s")
    if now.ttft_ms:
        of = f"[dim]of {count(len(now.ttft_ms), 'first token')} in the last {RECENT_S:g} s[/]"
        rows.add_row("ttft", f"{_percentiles(now.ttft_ms)}  {of}")
    rows.add_row("errors", _errors(progress))
    rows.add_row("client", _client(now))
    whole = Table.grid(expand=False)
    whole.add_row(_bar(name, progress))
    whole.add_row(rows)
    return whole


def line(progress: Progress) -> str:
    """The same on one line, without colours."""
    now = recent(progress)
    num_errors = sum(num for _, num in _failed(progress))
    parts = [
        f"{seconds(math.floor(progress.at_s))} of {seconds(progress.duration_s)}",
        f"{progress.num_sent:,} of {progress.num_scheduled:,} sent",
        f"{progress.num_ended:,} ended",
        f"{progress.num_in_flight:,} in flight",
    ]
    if now.ttft_ms:
        parts.append(f"ttft {_percentiles(now.ttft_ms)}")
    parts.append(count(num_errors, "error"))
    if now.cpu is not None:
        parts.append(f"client lag p99 {figure(now.lag_p99_ms, 'ms')}, CPU {share(now.cpu)}")
    return ", ".join(parts)


def _bar(name: str, progress: Progress) -> Table:
    left_s = progress.duration_s - progress.at_s
    if left_s > 0:
        at, whole = seconds(math.floor(progress.at_s)), seconds(progress.duration_s)
        words = f"{at} of {whole}, {seconds(math.ceil(left_s))} left"
    else:
        words = f"all sent, waiting for {count(progress.num_in_flight, 'answer')}"
    bar = Table.grid(padding=(0, 2))
    bar.add_row(
        Text(name, style="bold"),
        ProgressBar(
            total=progress.duration_s,
            completed=min(progress.at_s, progress.duration_s),
            width=30,
            complete_style="cyan",
            finished_style="cyan",
        ),
        words,
    )
    return bar


def _errors(progress: Progress) -> str:
    failed = _failed(progress)
    if not failed:
        return "none"
    total = sum(num for _, num in failed)
    kinds = ", ".join(f"{num:,} {OUTCOME_WORDS[Outcome(kind)]}" for kind, num in failed)
    return f"[red]{kinds}[/] ({share(total / progress.num_ended)} of those that ended)"


def _failed(progress: Progress) -> list[tuple[str, int]]:
    found = [(kind, num) for kind, num in progress.num_outcomes.items() if kind not in _NO_FAILURE and num]
    return sorted(found, key=lambda item: -item[1])


def _client(now: Recent) -> str:
    """In colour where the client is near, or past, what would make the run invalid."""
    if now.cpu is None or now.lag_p99_ms is None:
        return NOTHING
    median_ms = _rank(now.ttft_ms, 0.5) if now.ttft_ms else math.inf
    lag = _coloured(f"lag p99 {figure(now.lag_p99_ms, 'ms')}", now.lag_p99_ms, MAX_SHARE * median_ms)
    cpu = _coloured(f"CPU {share(now.cpu)} of a core", now.cpu, MAX_CPU)
    wait = "" if now.cpu_wait is None else f", waits for it {share(now.cpu_wait)} of the time"
    return f"{lag} (worst {figure(now.lag_max_ms, 'ms')}), {cpu}{wait}"


def _coloured(words: str, value: float, limit: float) -> str:
    if value > limit:
        return f"[bold red]{words}[/]"
    return f"[yellow]{words}[/]" if value > _NEAR * limit else f"[green]{words}[/]"


def _percentiles(ascending: Sequence[float]) -> str:
    parts = (f"p{percent} {number(_rank(ascending, percent / 100))}" for percent in (50, 95, 99))
    return f"{', '.join(parts)} ms"


def _rank(ascending: Sequence[float], quantile: float) -> float:
    return ascending[max(0, math.ceil(quantile * len(ascending) - 1e-9) - 1)]


def _last(samples: Sequence[ClientSample], stretch_s: float) -> Iterator[ClientSample]:
    """The newest samples, from the end: there are many in a long run, and they come nearly in order."""
    if not samples:
        return
    newest_s = samples[-1].at_s
    for sample in reversed(samples):
        if sample.at_s <= newest_s - 2 * stretch_s:
            return
        if sample.at_s > newest_s - stretch_s:
            yield sample
