"""`python -m benchmarks gate --data DIR`: stage A of the gate on labelled questions, cross-validated.

Runs `manta evaluate calibrate`, which searches for every question in the corpus, among its best documents
and among strangers, and gives each example the probability of a calibration that has not seen its
question. The figures are made here, from those records.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import results_folder
from benchmarks.errors import BenchmarkError
from benchmarks.gate.rates import auc_interval, roc_auc, share

Record = Mapping[str, Any]
# name -> (kinds of the positive and the negative examples, goals)
COMPARISONS: Mapping[str, tuple[str, str, Mapping[str, float]]] = {
    "answerable_vs_unanswerable": ("answerable", "unanswerable", {"roc_auc": 0.85}),
    "gold_vs_random": ("gold", "random", {"true_positive_rate": 0.99, "false_positive_rate": 0.02}),
}
_AT_MOST = frozenset({"false_positive_rate"})  # goals that are upper bounds


def main() -> None:
    """Run, print the table, write the folder; exit code 1 if a goal is missed."""
    arguments = _arguments()
    try:
        summary, records = measure(arguments.data, arguments.profile, arguments.work)
    except BenchmarkError as exc:
        print(f"benchmarks: {exc}", file=sys.stderr)
        sys.exit(2)
    settings = {"collection": arguments.data.name, "profile": str(arguments.profile)}
    folder = results_folder.write(arguments.out, f"gate-{arguments.data.name}", settings, summary, records)
    _print(summary)
    print(f"raw records: {folder}")
    sys.exit(0 if all(goal["is_met"] for goal in summary["goals"]) else 1)


def measure(data: Path, profile: Path, work: Path | None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(summary, one record an example).

    Raises:
        BenchmarkError: the command failed; the message is its own.
    """
    with tempfile.TemporaryDirectory(prefix="manta-gate-") as folder:
        lines, fitted = Path(folder) / "records.jsonl", Path(folder) / "calibration.json"
        command = [sys.executable, "-m", "manta", "evaluate", "calibrate", "--data", str(data)]
        command += ["--profile", str(profile), "--out", str(fitted), "--records", str(lines)]
        command += ["--work", str(work)] if work is not None else []
        done = subprocess.run(  # noqa: S603 (our own command)
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
        )
        if done.returncode != 0:
            raise BenchmarkError((done.stderr.strip().splitlines() or ["it said nothing"])[-1])
        records = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
        calibration = json.loads(fitted.read_text(encoding="utf-8"))
    return summarise(records) | {"calibration": calibration}, records


def summarise(records: Sequence[Record]) -> dict[str, Any]:
    """Figures of both comparisons, the best cosine's own beside them, and which goals are met."""
    found: dict[str, Any] = {}
    goals: list[dict[str, Any]] = []
    for name, (good, bad, wanted) in COMPARISONS.items():
        yes = [record for record in records if record["kind"] == good]
        no = [record for record in records if record["kind"] == bad]
        if not yes or not no:
            continue
        found[name] = figures = _compare(yes, no)
        for metric, goal in wanted.items():
            value = figures[metric]
            is_met = value <= goal if metric in _AT_MOST else value >= goal
            goals.append(
                {"comparison": name, "metric": metric, "goal": goal, "value": value, "is_met": is_met}
            )
    return {"comparisons": found, "goals": goals}


def _compare(yes: Sequence[Record], no: Sequence[Record]) -> dict[str, Any]:
    high, low = ([float(record["probability"]) for record in side] for side in (yes, no))
    top = ([float(record["features"]["top_cosine"]) for record in side] for side in (yes, no))
    figures: dict[str, Any] = {
        "num_positive": len(yes),
        "num_negative": len(no),
        "roc_auc": round(roc_auc(high, low), 4),
        "roc_auc_95": [round(bound, 4) for bound in auc_interval(high, low)],
        "roc_auc_of_top_cosine": round(roc_auc(*top), 4),
    }
    for metric, flag in (("", "passes"), ("_correct", "is_correct")):
        figures[f"true_positive_rate{metric}"] = round(share([record[flag] for record in yes]), 4)
        figures[f"false_positive_rate{metric}"] = round(share([record[flag] for record in no]), 4)
    return figures


def _print(summary: Mapping[str, Any]) -> None:
    table = Table(title="stage A, cross-validated by question")
    for column in (
        "comparison",
        "n",
        "ROC AUC",
        "95 %",
        "cosine's AUC",
        "passes: true / false",
        "correct: true / false",
    ):
        table.add_column(column, justify="left" if column == "comparison" else "right")
    for name, one in summary["comparisons"].items():
        low, high = one["roc_auc_95"]
        table.add_row(
            name,
            f"{one['num_positive']} / {one['num_negative']}",
            f"{one['roc_auc']:.3f}",
            f"{low:.2f}-{high:.2f}",
            f"{one['roc_auc_of_top_cosine']:.3f}",
            f"{one['true_positive_rate']:.1%} / {one['false_positive_rate']:.1%}",
            f"{one['true_positive_rate_correct']:.1%} / {one['false_positive_rate_correct']:.1%}",
        )
    Console().print(table)
    for goal in summary["goals"]:
        met, bound = ("met" if goal["is_met"] else "MISSED"), ("<=" if goal["metric"] in _AT_MOST else ">=")
        print(f"{goal['comparison']}: {goal['metric']} {goal['value']} {bound} {goal['goal']}: {met}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder in BEIR's layout")
    parser.add_argument("--profile", type=Path, default=Path("configs/local.yaml"), help="whose embedder")
    parser.add_argument(
        "--work", type=Path, default=None, help="keep the embedded corpus here for a next time"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results"), help="where the run's folder goes"
    )
    return parser.parse_args()
