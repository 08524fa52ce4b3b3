"""`python -m benchmarks compare-power`: how often `compare` is wrong about one server, and right about two.

Half of the comparisons are of the reference server with itself: whatever they find is a false alarm. In the
other half B takes a few milliseconds longer to its first token: what they do not find is missed. The two
kinds take turns, so that a change of the machine meets both.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

from benchmarks.compare.binomial import share_interval
from benchmarks.compare.comparison import Comparison
from benchmarks.compare.decide import Levels
from benchmarks.compare.document import document
from benchmarks.compare.figures import RunFigures
from benchmarks.compare.measure import NUM_PAIRS, PairSettings, measure
from benchmarks.compare.of_run import figures_of
from benchmarks.compare.plan import SideName, derived_seed
from benchmarks.errors import BenchmarkError
from benchmarks.reference_server.process import running
from benchmarks.results_folder import machine, new_folder, write_json
from benchmarks.run.execute import Prepared, RunOptions, execute
from benchmarks.run.prepare import prepare
from benchmarks.target import Target
from configs.workload import ChatRequest, PoissonArrivals, Workload

Kind = Literal["same", "slower"]
_KINDS: tuple[Kind, ...] = ("same", "slower")
_DIFFERENT = ("better", "worse")


def main() -> None:
    """Run the experiment; Ctrl-C keeps the comparisons that are complete."""
    arguments = _arguments()
    settings = PairSettings(
        num_pairs=arguments.pairs,
        duration_s=arguments.duration,
        pause_s=arguments.pause,
        levels=Levels(alpha=arguments.alpha),
    )
    workload = Workload(
        name="compare-power",
        seed=arguments.seed,
        timeout_s=30.0,
        arrivals=PoissonArrivals(process="poisson", rate_rps=arguments.rate),
        requests=(ChatRequest(kind="chat", prompt_tokens=32, output_tokens=arguments.output_tokens),),
    )
    said = {**vars(arguments), "out": None}
    try:
        settings.check()
        folder = new_folder(arguments.out, "compare-power")
        write_json(folder / "run.json", {"settings": said, "machine": machine()})
        with ExitStack() as stack:
            servers = _servers(stack, workload, arguments)
            records = run_experiment(
                lambda kind, seed: _compare(
                    kind, workload.model_copy(update={"seed": seed}), servers, settings
                ),
                arguments.num,
                arguments.seed,
                folder / "records.jsonl",
            )
    except BenchmarkError as exc:
        print(f"benchmarks: {exc}", file=sys.stderr)
        sys.exit(2)
    summary = summarised(records)
    write_json(folder / "summary.json", summary)
    print(json.dumps(summary, indent=2) + f"\nraw records: {folder}")


def run_experiment(
    compare: Callable[[Kind, int], Comparison], num: int, seed: int, records_path: Path
) -> list[dict[str, Any]]:
    """`num` comparisons of each kind, one line of JSON each, written as soon as it is known."""
    records: list[dict[str, Any]] = []
    with records_path.open("w", encoding="utf-8") as lines:
        for index in range(2 * num):
            kind = _KINDS[index % 2]
            try:
                comparison = compare(kind, derived_seed(seed, index))
            except KeyboardInterrupt:
                break
            if comparison.stopped_because:
                break
            records.append({"index": index, "kind": kind, **document(comparison)})
            lines.write(json.dumps(records[-1]) + "\n")
            lines.flush()
            print(_line(records[-1], 2 * num), flush=True)
    return records


def summarised(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """False alarms and power, as counts and exact 95 % intervals.

    A comparison that could not be measured is neither an alarm nor a find, and counts against power.
    """
    records = list(records)
    same = [record for record in records if record["kind"] == "same"]
    slower = [record for record in records if record["kind"] == "slower"]
    measured = [
        record for record in same if record["figures"][record["primary"]]["verdict"] != "not measured"
    ]
    return {
        "same": {
            "num": len(same),
            "num_not_measured": len(same) - len(measured),
            "alarms_any_figure_either_way": _share([bool(_found(record)) for record in same]),
            "alarms_exit_code_1": _share([record["exit_code"] == 1 for record in same]),
            "alarms_primary": _share([record["primary"] in _found(record) for record in same]),
            "alarms_primary_by_bootstrap_interval_alone": _share([_by_bootstrap(record) for record in same]),
            "alarmed_figures": sorted(name for record in same for name in _found(record)),
        },
        "slower": {
            "num": len(slower),
            "found_exit_code_1": _share([record["exit_code"] == 1 for record in slower]),
            "found_primary": _share(
                [record["figures"][record["primary"]]["verdict"] == "worse" for record in slower]
            ),
            "median_difference": _median(
                [record["figures"][record["primary"]]["difference"] for record in slower]
            ),
        },
        "median_detectable": _median(
            [record["figures"][record["primary"]]["detectable"] for record in records]
        ),
    }


def _found(record: Mapping[str, Any]) -> list[str]:
    return [name for name, figure in record["figures"].items() if figure["verdict"] in _DIFFERENT]


def _by_bootstrap(record: Mapping[str, Any]) -> bool:
    ends = record["figures"][record["primary"]]["bootstrap_interval"]
    return ends is not None and (ends[0] > 0 or ends[1] < 0)


def _share(hits: Sequence[bool]) -> dict[str, Any] | None:
    if not hits:
        return None
    low, high = share_interval(sum(hits), len(hits), 0.95)
    return {"num": sum(hits), "share": sum(hits) / len(hits), "low": round(low, 4), "high": round(high, 4)}


def _median(values: Sequence[float | None]) -> float | None:
    known = sorted(value for value in values if value is not None)
    return known[len(known) // 2] if known else None


def _line(record: Mapping[str, Any], num: int) -> str:
    figure = record["figures"][record["primary"]]
    return (
        f"{record['index'] + 1}/{num} {record['kind']}: {record['primary']} {figure['verdict']}, "
        f"p {figure['p_value']}, found {_found(record)}, exit code {record['exit_code']}"
    )


def _servers(stack: ExitStack, workload: Workload, arguments: argparse.Namespace) -> dict[Kind, Prepared]:
    """What B is in each kind; A is always the one of "same"."""
    found: dict[Kind, Prepared] = {}
    for kind, extra_ms in (("same", 0.0), ("slower", arguments.extra_ttft_ms)):
        server = stack.enter_context(
            running(ttft_ms=arguments.ttft_ms, jitter=arguments.jitter, extra_ttft_ms=extra_ms)
        )
        found[kind] = prepare(workload, Target(server.url, "reference"))  # type: ignore[index]
    return found


def _compare(
    kind: Kind, workload: Workload, servers: Mapping[Kind, Prepared], settings: PairSettings
) -> Comparison:
    """One comparison. Its 26 runs are not kept, only their figures."""

    def run_side(side: SideName, asked: Workload, folder: Path) -> RunFigures:
        prepared = servers[kind] if side == "b" else servers["same"]
        return figures_of(execute(asked, prepared, folder, RunOptions(num_workers=1)))

    with tempfile.TemporaryDirectory(prefix="manta-compare-") as folder:
        return measure(workload, ("same", kind), run_side, Path(folder), settings)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks compare-power",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--num", type=int, default=30, help="comparisons of each kind")
    parser.add_argument("--pairs", type=int, default=NUM_PAIRS, help="pairs of runs in a comparison")
    parser.add_argument("--duration", type=float, default=3.0, help="seconds of a run's arrivals")
    parser.add_argument("--pause", type=float, default=0.1, help="seconds between two runs")
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second, Poisson")
    parser.add_argument("--output-tokens", type=int, default=16, help="tokens of an answer")
    parser.add_argument("--ttft-ms", type=float, default=20.0, help="of the server")
    parser.add_argument("--jitter", type=float, default=0.1, help="coefficient of variation of its delays")
    parser.add_argument("--extra-ttft-ms", type=float, default=5.0, help="of B, in every second comparison")
    parser.add_argument("--alpha", type=float, default=Levels().alpha, help="level of each comparison")
    parser.add_argument("--seed", type=int, default=1, help="everything random comes from it")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="where the folder goes")
    return parser.parse_args()
