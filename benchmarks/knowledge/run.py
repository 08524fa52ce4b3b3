"""`python -m benchmarks knowledge`: load, index, resync and queries of the stores, beside the plain clients.

Every side is a process with the same made-up corpus. Sides take turns within each repetition, and ratios are taken
within a repetition, so that a drift of the machine meets all of them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import results_folder
from benchmarks.application import served
from benchmarks.errors import BenchmarkError
from benchmarks.knowledge.corpus import make, nearest, recall
from benchmarks.knowledge.figures import CASES, figures_of, summarise
from benchmarks.tables import number, table
from configs.ports import free_port

SIDES = ("manta-opensearch", "plain-opensearch", "manta-lancedb", "plain-lancedb")
_ROOT = Path(__file__).resolve().parents[2]
_PART = "3"


class Side:
    """A started worker; one command at a time."""

    def __init__(self, name: str, process: subprocess.Popen[str], log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log
        self._answer()

    def ask(self, command: str, **value: Any) -> dict[str, Any]:
        """The answer; raises BenchmarkError when the worker fails."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({command: value}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as exc:
            raise BenchmarkError(f"{self.name} ended: {self._last_words()}") from exc
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError(f"{self.name} ended: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BenchmarkError(f"{self.name}: {answer['error']}")
        return answer

    def _last_words(self) -> str:
        lines = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else "it said nothing"


def main() -> None:
    """Measure, print the tables, keep the results; Ctrl-C keeps what is measured."""
    arguments = _arguments()
    try:
        with ExitStack() as stack:
            url = stack.enter_context(_opensearch(arguments))
            for num in arguments.sizes:
                _measure_and_keep(arguments, num, url)
    except BenchmarkError as exc:
        print(f"benchmarks: {exc}", file=sys.stderr)
        sys.exit(2)


def _measure_and_keep(arguments: argparse.Namespace, num: int, url: str | None) -> None:
    facts: dict[str, Any] = {}
    records: list[dict[str, Any]] = []
    with ExitStack() as stack:
        sides = [
            stack.enter_context(_started(name, _command(name, url)))
            for name in arguments.sides
            if url is not None or "opensearch" not in name
        ]
        try:
            facts = {side.name: _prepare(side, num, arguments.seed) for side in sides}
            for record in _runs(sides, arguments):
                records.append(record)
                print(_line(record), flush=True)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
    if not records:
        raise BenchmarkError("nothing was measured")
    summary = summarise(records, facts) | {"num_passages": num}
    print(f"\n{_text(summary)}")
    if not arguments.no_results:
        # Where things lie on this machine says nothing of the figures.
        left_out = ("out", "opensearch_start")
        settings = {name: str(value) for name, value in vars(arguments).items() if name not in left_out}
        folder = results_folder.new_folder(arguments.out, f"knowledge-{num}")
        results_folder.fill(folder, settings, summary, records)
        print(f"\nraw records: {folder}")


def _prepare(side: Side, num: int, seed: int) -> dict[str, Any]:
    """Load the side; what it took, and how much of what is nearest it finds."""
    print(f"{side.name}: loading {num:,} passages", flush=True)
    load_s = side.ask("load", num=num, seed=seed)["seconds"]
    corpus = make(num, seed)
    exact = {"knn": nearest(corpus), "filtered": nearest(corpus, part=_PART)}
    found = {case: side.ask("answers", case=case)["ids"] for case in exact}
    resync_s = side.ask("resync")["seconds"]
    return {
        "load_s": round(load_s, 3),
        "resync_s": None if resync_s is None else round(resync_s, 4),
        "recall": {case: round(recall(found[case], exact[case]), 4) for case in exact},
        **{name: round(value, 1) for name, value in side.ask("facts").items()},
    }


def _runs(sides: Sequence[Side], arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for repetition in range(-1, arguments.repetitions):  # the one below 0 warms up, and is not kept
        turn = max(0, repetition) % len(sides)
        for case, num_callers in itertools.product(CASES, arguments.callers):
            for side in (*sides[turn:], *sides[:turn]):
                done = side.ask("run", case=case, num_callers=num_callers, seconds=arguments.seconds)
                if repetition >= 0:
                    yield {
                        "side": side.name,
                        "case": case,
                        "num_callers": num_callers,
                        "repetition": repetition,
                        **figures_of(done["times_ms"], done["seconds"]),
                    }


def _command(name: str, url: str | None) -> list[str]:
    index = f"bench-{uuid.uuid4().hex[:12]}"
    python = [sys.executable, "-m"]
    if name == "plain-opensearch":
        return [*python, "benchmarks.knowledge.workers.plain_opensearch", str(url), index]
    if name == "plain-lancedb":
        return [*python, "benchmarks.knowledge.workers.plain_lancedb"]
    stores = {
        "manta-opensearch": {"kind": "opensearch", "url": url, "index": index, "write_timeout_s": 600},
        "manta-lancedb": {"kind": "lancedb"},
    }
    return [*python, "benchmarks.knowledge.workers.manta_store", json.dumps({"store": stores[name]})]


@contextmanager
def _started(name: str, command: Sequence[str]) -> Iterator[Side]:
    with tempfile.TemporaryDirectory(prefix="manta-bench-") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as errors:
            process = subprocess.Popen(  # noqa: S603 (our own command)
                command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        try:
            yield Side(name, process, log)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()


@contextmanager
def _opensearch(arguments: argparse.Namespace) -> Iterator[str | None]:
    """Its address: the one named, or one that is started for the run; None: there is none."""
    if arguments.opensearch_url is not None or arguments.opensearch_start is None:
        yield arguments.opensearch_url
        return
    with tempfile.TemporaryDirectory(prefix="manta-bench-") as folder:
        port = free_port()
        command = [str(arguments.opensearch_start), "--data", folder, "--port", str(port)]
        command += ["--transport-port", str(free_port()), "--heap", arguments.heap]
        with served(command, f"http://127.0.0.1:{port}", "/_cluster/health?wait_for_status=yellow") as fresh:
            yield fresh.url


def _line(record: Mapping[str, Any]) -> str:
    return (
        f"{record['side']:18} {record['case']:9} {record['num_callers']:3} callers  "
        f"p50 {record['p50_ms']:8.2f} ms  p99 {record['p99_ms']:8.2f} ms  {record['per_s']:8.1f}/s"
    )


def _text(summary: Mapping[str, Any]) -> str:
    sides = [
        [
            name,
            number(one["load_s"], ".1f"),
            number(one["resync_s"], ".3f"),
            number(one["recall"]["knn"], ".4f"),
            number(one["recall"]["filtered"], ".4f"),
            number(one["resident_mb"], ".0f"),
            number(one["disk_mb"], ".0f"),
        ]
        for name, one in summary["sides"].items()
    ]
    headings = ["side", "load s", "resync s", "recall@10", "filtered", "client MB", "disk MB"]
    queries = [
        [name, *(number(one[key], ".2f") for key in ("p50_ms", "p95_ms", "p99_ms", "per_s"))]
        for name, one in summary["medians"].items()
    ]
    bars = [
        [one["bar"], f"{one['value']:.3f}", "yes" if one["is_met"] else "no"] for one in summary["verdicts"]
    ]
    parts = [table(headings, sides), table(["queries", "p50 ms", "p95 ms", "p99 ms", "per s"], queries)]
    return "\n\n".join([*parts, table(["bar", "value", "met"], bars)] if bars else parts)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--sizes", nargs="+", type=int, default=[10_000, 100_000], help="passages (%(default)s)")
    add("--sides", nargs="+", choices=SIDES, default=list(SIDES), help="(all that can run)")
    add("--callers", nargs="+", type=int, default=[1, 32], help="at once (%(default)s)")
    add("--seconds", type=float, default=5.0, help="of each run (%(default)s)")
    add("--repetitions", type=int, default=3, help="(%(default)s)")
    add("--seed", type=int, default=0, help="of the corpus (%(default)s)")
    add("--opensearch-url", help="a server that runs")
    add("--opensearch-start", type=Path, help="a program that starts one: --data DIR --port N --heap SIZE")
    add("--heap", default="1g", help="of the server that is started (%(default)s)")
    add("--out", type=Path, default=Path("benchmarks/results"), help="folder of the results (%(default)s)")
    add("--no-results", action="store_true", help="keep nothing")
    return parser.parse_args()
