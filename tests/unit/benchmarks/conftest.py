"""Runs without a server: from the latencies of their requests to what `execute` would have returned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from benchmarks.records import ClientSample, Outcome, Record
from benchmarks.run.execute import Run
from benchmarks.summary.summarise import summarise
from configs.workload import ClosedLoop, Objectives, Workload

MakeRun = Callable[..., Run]


def _record(index: int, at_s: float, ttft_ms: float | None) -> Record:
    """A stream of three tokens, 5 ms apart; None: the server answered 500 at once."""
    intended_ns = round(at_s * 1e9)
    if ttft_ms is None:
        return Record(
            index=index,
            entry="chat",
            worker=0,
            outcome=Outcome.HTTP_ERROR,
            intended_ns=intended_ns,
            end_ns=intended_ns + 1_000_000,
            is_stream=True,
            sent_ns=intended_ns + 10_000,
            status=500,
        )
    first_ns = intended_ns + round(ttft_ms * 1e6)
    return Record(
        index=index,
        entry="chat",
        worker=0,
        outcome=Outcome.OK,
        intended_ns=intended_ns,
        end_ns=first_ns + 10_100_000,
        is_stream=True,
        sent_ns=intended_ns + 10_000,
        headers_ns=intended_ns + 500_000,
        first_token_ns=first_ns,
        last_token_ns=first_ns + 10_000_000,
        gaps_us=[5000, 5000],
        num_pieces=3,
        num_output_tokens=3,
        status=200,
    )


@pytest.fixture
def made_run(tmp_path: Path) -> MakeRun:
    """`made_run(ttft_ms, rate_rps=10, lag_ms=0.05, ...)`: one request for each ttft, evenly spaced."""

    def make(
        ttft_ms: Sequence[float | None],
        *,
        rate_rps: float = 10.0,
        lag_ms: float = 0.05,
        cpu: float = 0.1,
        objectives: Objectives | None = None,
        workload: Workload | None = None,
        stopped_because: str | None = None,
        folder: Path | None = None,
    ) -> Run:
        workload = workload or Workload(warm_up_s=0.0, objectives=objectives or Objectives())
        records = tuple(_record(i, i / rate_rps, ttft) for i, ttft in enumerate(ttft_ms))
        end_s = len(records) / rate_rps
        samples = tuple(
            ClientSample(
                worker=0,
                at_s=float(second),
                num_sent=round(rate_rps),
                num_ended=round(rate_rps),
                num_in_flight=1,
                num_connections=1,
                cpu=cpu,
                cpu_wait=0.0,
                lag_max_ms=lag_ms,
                lag_p50_ms=lag_ms,
                lag_p99_ms=lag_ms,
            )
            for second in range(1, int(end_s) + 3)
        )
        summary = summarise(
            records,
            samples,
            workload,
            arrivals_end_s=end_s,
            is_closed_loop=isinstance(workload.arrivals, ClosedLoop),
        )
        settings: dict[str, object] = {
            "workload": workload.model_dump(mode="json", exclude_unset=True),
            "stopped_because": stopped_because,
            "arrivals_end_s": end_s,
            "machine": {"cpu": "test", "cores": 2},
        }
        return Run(folder or tmp_path / "run", workload, settings, records, samples, summary)

    return make
