"""Our own load tester, as the peers are used: one run at a constant rate, its figures as it reports them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.peers.base import Load, Reported, ToolFailed
from benchmarks.records import Record
from benchmarks.run.execute import Prepared, Run, RunOptions, execute
from configs.workload import ChatRequest, ConstantArrivals, Workload


class Manta:
    """`manta bench run` with a number of worker processes; None: as many as it takes by itself.

    Args:
        prepared: of another server with the same settings, so that no request of the preparation is in the
            measured server's log.
    """

    def __init__(self, prepared: Prepared, num_workers: int | None) -> None:
        self._prepared = prepared
        self._num_workers = num_workers
        self.name = "manta" if num_workers is None else f"manta --workers {num_workers}"
        self.version = "this commit"

    def command(self, url: str, load: Load, folder: Path) -> list[str]:
        workload = _workload(load, 0.0).model_dump_json(exclude_unset=True)
        workers = [] if self._num_workers is None else [f"num_workers={self._num_workers}"]
        return ["benchmarks.run.execute", url, workload, *workers]

    def run(self, url: str, load: Load, folder: Path, timeout_s: float) -> Reported:
        run = execute(
            _workload(load, timeout_s),
            replace(self._prepared, target=replace(self._prepared.target, url=url)),
            folder / "run",
            RunOptions(num_workers=self._num_workers),
        )
        if run.was_interrupted:
            raise KeyboardInterrupt
        if not run.records:
            raise ToolFailed("it left no records")
        return _reported(run)


def _workload(load: Load, timeout_s: float) -> Workload:
    return Workload(
        name="peers",
        duration_s=load.duration_s,
        arrivals=ConstantArrivals(process="constant", rate_rps=load.rate_rps),
        requests=(
            ChatRequest(
                kind="chat", prompt_tokens=load.num_prompt_tokens, output_tokens=load.num_output_tokens
            ),
        ),
        warm_up_s=0.0,  # the truth that it is held against has none either
        **({"timeout_s": timeout_s} if timeout_s else {}),
    )


def _reported(run: Run) -> Reported:
    summary = run.summary
    outcomes = summary.overall.outcomes
    client = summary.certification.client
    return Reported(
        ttft_p50_ms=summary.percentile("ttft", "p50"),
        ttft_p95_ms=summary.percentile("ttft", "p95"),
        ttft_p99_ms=summary.percentile("ttft", "p99"),
        num_completed=outcomes.get("ok", 0),
        num_failed=sum(outcomes.values()) - outcomes.get("ok", 0),
        ttft_ms=tuple(_ttft_ms(run.records)),
        further={
            "dispatch_delay_p50_ms": summary.percentile("dispatch_delay", "p50"),
            "dispatch_delay_p99_ms": summary.percentile("dispatch_delay", "p99"),
            "is_valid_by_own_certification": summary.certification.is_valid,
            "reasons": list(summary.certification.reasons),
            "cpu_max": client.cpu_max,
        },
    )


def _ttft_ms(records: tuple[Record, ...]) -> list[float]:
    ordered = sorted(records, key=lambda record: record.intended_ns)
    return [
        (record.first_token_ns - record.intended_ns) / 1e6
        for record in ordered
        if record.first_token_ns is not None
    ]
