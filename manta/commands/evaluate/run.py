"""`manta evaluate run`: a judge over a file of answers; thresholds, a report, an exit code."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from rich.table import Table

from configs.load import home, read_profile
from configs.schema import PlatformConfig
from manta.console import count_progress, err, out
from manta.profile_options import profile_option
from serve_app.errors import ConfigError
from serve_app.evaluation import offline
from serve_app.evaluation.base import Metric
from serve_app.evaluation.page import page
from serve_app.messages import JsonObject

_DEFAULT = (Metric.FAITHFULNESS, Metric.ANSWER_RELEVANCY)


@click.command("run")
@click.argument("file", type=click.Path(path_type=Path))
@profile_option("Whose models judge, and whose gate has the thresholds.")
@click.option("--judge", default=None, help="A chat model of the profile; default: its agent.judge.")
@click.option(
    "--metric",
    "metrics",
    type=click.Choice([str(metric) for metric in Metric]),
    multiple=True,
    help="May be given several times; default: faithfulness and answer_relevancy.",
)
@click.option("--min", "bounds", multiple=True, metavar="METRIC=VALUE", help="Lowest mean that passes.")
@click.option(
    "--max-unknown", type=click.FloatRange(0, 1), default=0.1, show_default=True, help="Share of answers."
)
@click.option(
    "--parallel", type=click.IntRange(1), default=4, show_default=True, help="Answers judged at once."
)
@click.option("--timeout-s", type=float, default=120.0, show_default=True, help="For one answer.")
@click.option(
    "--out", "folder", type=click.Path(path_type=Path), default=Path("evaluation"), show_default=True
)
def command(
    file: Path,
    profile: Path,
    judge: str | None,
    metrics: tuple[str, ...],
    bounds: tuple[str, ...],
    max_unknown: float,
    parallel: int,
    timeout_s: float,
    folder: Path,
) -> int:
    """Score the answers in FILE, one JSON object a line: {question, answer, contexts, reference?, id?}.

    Writes report.json, report.html and records.jsonl. Exit code 1 when a threshold is missed: without any
    --min those of the profile's gate hold.
    """
    platform = read_profile(profile).platform
    asked = tuple(Metric(name) for name in metrics) or _DEFAULT
    thresholds = _thresholds(bounds, asked, platform)
    cases = offline.read(file, asked)
    name = judge or platform.agent.judge
    if name is None:
        raise ConfigError(f"{profile}: the agent has no judge; name one of the profile's models with --judge")
    judged, evaluator = asyncio.run(_judge(platform, name, cases, asked, parallel, timeout_s))
    summary = offline.summarise(judged, name, evaluator, thresholds, max_unknown)
    _write(folder, summary, [one.record() for one in judged])
    _show(summary)
    err.print(f"judged by {name} with the evaluator {evaluator}", markup=False)
    err.print(f"report: {folder / 'report.html'}", markup=False)
    return 0 if summary["passed"] else 1


async def _judge(
    platform: PlatformConfig,
    name: str,
    cases: Sequence[offline.Case],
    metrics: Sequence[Metric],
    num_parallel: int,
    timeout_s: float,
) -> tuple[list[offline.Judged], str]:
    """What it says, and with which evaluator. The judge runs in this process, as its engine does in a replica."""
    from serve_app.engines.registry import open_embedder, open_model
    from serve_app.evaluation.registry import open_judge

    config = next((model for model in platform.models if model.name == name), None)
    if config is None:
        names = ", ".join(model.name for model in platform.models)
        raise ConfigError(f"no model {name!r} in the profile: {names}")
    folder = home(platform)
    needs_embedder = Metric.ANSWER_RELEVANCY in metrics
    model = open_model(config, folder, 1)
    embedder = open_embedder(platform.embedder, folder, 1) if needs_embedder else None
    try:
        judge = open_judge(platform.agent.evaluator, name, model, embedder)
        with count_progress() as progress:
            task = progress.add_task("judging", total=len(cases))
            judged = await offline.judge_all(
                judge,
                cases,
                metrics,
                num_parallel=num_parallel,
                timeout_s=timeout_s,
                advance=lambda: progress.advance(task),
            )
        return judged, judge.evaluator
    finally:
        await model.close()
        if embedder is not None:
            await embedder.close()


def _thresholds(
    bounds: Sequence[str], asked: Sequence[Metric], platform: PlatformConfig
) -> Mapping[Metric, float]:
    """What was named; else the gate's own, for the metrics that are asked for."""
    gate = platform.agent.gate
    if not bounds:
        own = {
            Metric.FAITHFULNESS: gate.faithfulness_at,
            Metric.ANSWER_RELEVANCY: gate.answer_relevancy_at,
            Metric.CONTEXT_RELEVANCE: gate.context_relevance_at,
        }
        return {metric: value for metric, value in own.items() if metric in asked}
    found = {}
    for bound in bounds:
        name, _, value = bound.partition("=")
        try:
            found[Metric(name)] = float(value)
        except ValueError as exc:
            raise ConfigError(f"--min {bound}: needs METRIC=VALUE") from exc
    if missing := [str(metric) for metric in found if metric not in asked]:
        raise ConfigError(f"--min names {', '.join(missing)}, which --metric does not ask for")
    return found


def _write(folder: Path, summary: JsonObject, records: Sequence[JsonObject]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        (folder / "report.html").write_text(page(summary, records), encoding="utf-8")
        lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        (folder / "records.jsonl").write_text(lines, encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"{folder}: {exc.strerror}") from exc


def _show(summary: JsonObject) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("metric", "mean", "threshold", "unknown", ""):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for name, figures in summary["metrics"].items():
        mean, threshold = figures.get("mean"), figures.get("threshold")
        met = {True: "met", False: "MISSED", None: ""}[figures.get("is_met")]
        numbers = ["" if value is None else f"{value:.3f}" for value in (mean, threshold)]
        table.add_row(name, *numbers, f"{figures['share_unknown']:.1%}", met)
    out.print(table)
