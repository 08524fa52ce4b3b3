"""`manta bench compare`: is B worse than A, how surely, and an exit code for CI."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from benchmarks.compare.comparison import Comparison, Pair
from benchmarks.compare.decide import Levels
from benchmarks.compare.document import write_document
from benchmarks.compare.figures import FIGURES, RunFigures
from benchmarks.compare.folders import compare_folders
from benchmarks.compare.measure import DURATION_S, NUM_PAIRS, PairSettings, RunSide, measure
from benchmarks.compare.of_run import figures_of
from benchmarks.compare.plan import SideName
from benchmarks.compare.report import report_of
from benchmarks.compare.sides import Before, asked_alike, notes_on
from benchmarks.compare.text import comparison_text
from benchmarks.report.page import write_comparison_report
from benchmarks.results_folder import machine, new_folder
from benchmarks.run.execute import Prepared, RunOptions, execute
from benchmarks.run.live import LiveView
from benchmarks.run.prepare import prepare
from configs.workload import Workload
from manta.commands.bench.asked import asked_options, asked_workload
from manta.commands.bench.options import out_option, server_options, target_of, workers_option
from manta.console import err, out

_OF_FOLDERS = {"a", "b", "primary", "alpha", "margin", "name_a", "name_b", "name", "out"}
_POSITIVE = click.FloatRange(min=0, min_open=True)


@click.command("compare")
@click.argument("a")
@click.argument("b")
@click.option(
    "--workload", type=click.Path(path_type=Path), default=None, help="What is asked of both (a YAML file)."
)
@click.option("--rate", "rate_rps", type=_POSITIVE, default=None, help="Requests per second.  [default: 10]")
@click.option(
    "--pairs",
    "num_pairs",
    type=click.IntRange(1, 1000),
    default=NUM_PAIRS,
    show_default=True,
    help="Pairs of runs.",
)
@click.option(
    "--duration",
    "duration_s",
    type=_POSITIVE,
    default=DURATION_S,
    show_default=True,
    help="Seconds of each run.",
)
@click.option(
    "--pause",
    "pause_s",
    type=click.FloatRange(0, 3600),
    default=1.0,
    show_default=True,
    help="Seconds between runs.",
)
@click.option(
    "--primary",
    type=click.Choice([figure.name for figure in FIGURES]),
    default=None,
    help="The figure that it is about.  [default: the first that the workload has]",
)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 0.5, min_open=True),
    default=Levels().alpha,
    show_default=True,
    help="Chance of a false alarm in the primary figure, and once more in all others together.",
)
@click.option(
    "--margin",
    type=_POSITIVE,
    default=None,
    help="Differences below it do not matter: 0.05 is 5 %. Asks whether B is equivalent.",
)
@click.option("--name-a", default=None, help="How reports call A.  [default: its address]")
@click.option("--name-b", default=None, help="How reports call B.")
@click.option("--model-b", default=None, help="Model to ask of B, where it is another one.")
@click.option(
    "--before-a",
    default=None,
    metavar="COMMAND",
    help="Makes A ready before each of its runs, and ends then. No shell runs it.",
)
@click.option("--before-b", default=None, metavar="COMMAND", help="Likewise for B.")
@server_options
@asked_options
@workers_option
@out_option
def command(a: str, b: str, **options: Any) -> int:
    """Compare B with A: addresses of two servers, or folders with results that were made before.

    Servers are measured in interleaved pairs of short runs with the same schedule; folders are weaker evidence.
    Exit code: 0 no regression is shown, 1 B is worse, 2 it could not be measured as planned.
    """
    are_folders = [Path(text).is_dir() for text in (a, b)]
    if any(are_folders) and not all(are_folders):
        raise click.UsageError("A and B have to be two servers or two folders")
    levels = Levels(alpha=options["alpha"], margin=options["margin"])
    if all(are_folders):
        return _compare_folders(Path(a), Path(b), options, levels)
    chosen = asked_workload(options["workload"], options, options["rate_rps"], "compare")
    settings = PairSettings(
        options["num_pairs"], options["duration_s"], options["pause_s"], options["primary"], levels
    )
    settings.check()
    befores = {
        side: Before.parse(text) for side in ("a", "b") if (text := options[f"before_{side}"]) is not None
    }
    prepared = _prepared((a, b), chosen, options, befores)
    folder = new_folder(options["out"], chosen.name)
    names = _names((a, b), options)
    run_side = _run_side(asked_alike(*prepared), befores, options["num_workers"])
    comparison = measure(chosen, names, run_side, folder, settings, notes=notes_on(*prepared), on_pair=_tell)
    return _show(comparison, folder, chosen)


def _compare_folders(a: Path, b: Path, flags: dict[str, Any], levels: Levels) -> int:
    context = click.get_current_context()
    for parameter in context.command.params:
        is_given = context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
        if is_given and parameter.name not in _OF_FOLDERS:
            raise click.UsageError(f"{parameter.opts[0]} has no meaning with folders")
    found = compare_folders([a], [b], levels, primary=flags["primary"])
    comparison = dataclasses.replace(
        found, name_a=flags["name_a"] or found.name_a, name_b=flags["name_b"] or found.name_b
    )
    folder = new_folder(flags["out"], flags["name"] or "compare")
    write_document(folder, comparison)
    return _show(comparison, folder, None)


def _names(urls: tuple[str, str], flags: dict[str, Any]) -> tuple[str, str]:
    a, b = (url.partition("://")[2] or url for url in urls)
    if a == b:
        a, b = f"{a} (A)", f"{b} (B)"
    return flags["name_a"] or a, flags["name_b"] or b


def _prepared(
    urls: tuple[str, str], workload: Workload, flags: dict[str, Any], befores: dict[str, Before]
) -> tuple[Prepared, Prepared]:
    found = []
    for side, url, model in zip(
        ("a", "b"), urls, (flags["model"], flags["model_b"] or flags["model"]), strict=True
    ):
        if side in befores:
            with err.status(f"making {side.upper()} ready"):
                befores[side].run()
        target = target_of(url, model, flags["api_key_env"], flags["headers"], flags["ca_file"])
        with err.status(f"asking {side.upper()} what it serves"):
            found.append(prepare(workload, target, flags["tokenizer"]))
    return found[0], found[1]


def _run_side(
    prepared: dict[SideName, Prepared], befores: dict[str, Before], num_workers: int | None
) -> RunSide:
    def run_side(side: SideName, asked: Workload, folder: Path) -> RunFigures:
        if side in befores:
            befores[side].run()
        with LiveView(folder.name) as view:
            options = RunOptions(num_workers=num_workers, on_progress=view.show)
            run = execute(asked, prepared[side], folder, options)
        return figures_of(run)

    return run_side


def _tell(pair: Pair, num_counting: int) -> None:
    err.print(f"pair {pair.planned.index}: {num_counting} count", markup=False, style="dim")


def _show(comparison: Comparison, folder: Path, workload: Workload | None) -> int:
    title = f"{comparison.name_b} against {comparison.name_a}"
    report = report_of(comparison, title, {"machine": machine()}, workload)
    path = write_comparison_report(folder, report)
    out.print(comparison_text(comparison))
    err.print(f"report: {path}", markup=False)
    return comparison.exit_code
