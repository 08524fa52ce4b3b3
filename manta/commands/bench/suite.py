"""`manta bench suite`: ten scenarios against an application, one report."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from benchmarks.application import started
from benchmarks.report.page import write_report, write_suite_report
from benchmarks.results_folder import new_folder
from benchmarks.run.execute import execute
from benchmarks.run.live import LiveView
from benchmarks.run.prepare import prepare
from benchmarks.scenarios.catalogue import SCENARIOS
from benchmarks.scenarios.knowledge import client_for
from benchmarks.scenarios.results import exit_code, suite_text, write_suite
from benchmarks.scenarios.scenario import QUICK, Dials
from benchmarks.scenarios.subject import Commands, find_subject
from benchmarks.scenarios.suite import OnProgress, Suite, Tools
from configs.load import read_profile
from manta.commands.bench.options import out_option, server_options, target_of, workers_option
from manta.console import err, out

_POSITIVE = click.FloatRange(min=0, min_open=True)


@click.command("suite")
@click.argument("profile", type=click.Path(path_type=Path))
@click.option("--url", default=None, help="A running application of PROFILE; without it one is started.")
@server_options
@click.option(
    "--only",
    "names",
    multiple=True,
    type=click.Choice(list(SCENARIOS)),
    help="Only this scenario; may be given several times.",
)
@click.option("--quick", is_flag=True, help="A glance: a few seconds a scenario.")
@click.option(
    "--duration",
    "duration_s",
    type=click.FloatRange(1, 36_000),
    default=None,
    help="Seconds of each scenario.  [default: 20]",
)
@click.option(
    "--rate",
    "rate_rps",
    type=_POSITIVE,
    default=None,
    help="Requests per second of the steady scenario, from which the others follow; without it, 40 % of what "
    "the server can do, and at most 50.",
)
@click.option(
    "--ttft-ms", type=_POSITIVE, default=None, help="Objective; without it, from the idle server's own."
)
@click.option("--tpot-ms", type=_POSITIVE, default=None, help="Objective, likewise.")
@click.option("--e2e-ms", type=_POSITIVE, default=None, help="Objective, likewise, where nothing streams.")
@click.option(
    "--attainment",
    type=click.FloatRange(0, 1),
    default=None,
    help="Share that must meet them.  [default: 0.95]",
)
@click.option(
    "--recovery", "recovery_s", type=_POSITIVE, default=None, help="Seconds to recover in.  [default: 30]"
)
@click.option(
    "--cold-start",
    "cold_start_s",
    type=_POSITIVE,
    default=None,
    help="Seconds to a first token.  [default: 60]",
)
@click.option(
    "--fault-timeout",
    "fault_timeout_s",
    type=_POSITIVE,
    default=None,
    help="Seconds of an update.  [default: 150]",
)
@click.option(
    "--kill-command",
    default=None,
    metavar="COMMAND",
    help="Kills a replica of an application that is not on this machine: 'kubectl delete pod NAME'.",
)
@click.option(
    "--update-command",
    default=None,
    metavar="COMMAND",
    help="Updates one and ends when that is done: 'kubectl rollout restart ...'. No shell runs it.",
)
@click.option("--seed", type=click.IntRange(min=0), default=None, help="Everything random comes from it.")
@workers_option
@out_option
def command(profile: Path, *, quick: bool, **options: Any) -> int:
    """Test an application of PROFILE in ten scenarios: load of several shapes, and faults under load.

    Rates and objectives follow from a short look at the application, unless they are given. Scenarios
    that it cannot do are named with the reason. Exit code: 0 everything that ran passed, 1 objectives were
    not met, 2 it could not be measured, 3 some figures are invalid, 130 interrupted.
    """
    chosen = read_profile(profile)
    names = options["names"] or tuple(SCENARIOS)
    with _application(options["url"], profile) as (url, process_id):
        target = target_of(
            url, options["model"], options["api_key_env"], options["headers"], options["ca_file"]
        )
        with client_for(target) as http:
            commands = Commands(options["kill_command"], options["update_command"])
            subject = find_subject(chosen, target, http, commands, process_id)
            folder = new_folder(options["out"], f"suite-{profile.stem}")
            tools = _tools(options["tokenizer"], options["num_workers"])
            report = Suite(subject, dials(options, quick=quick), http, folder, tools).run(names)
    write_suite(report, folder)
    page = write_suite_report(folder, report)
    out.print(suite_text(report))
    err.print(f"report: {page}", markup=False)
    return 130 if any("interrupted" in (row.problem or "") for row in report.rows) else exit_code(report)


def dials(flags: dict[str, Any], *, quick: bool) -> Dials:
    """The flags that were given, over the defaults."""
    names = {field.name for field in dataclasses.fields(Dials)}
    given = {name: value for name, value in flags.items() if name in names and value is not None}
    return dataclasses.replace(QUICK if quick else Dials(), **given)


@contextmanager
def _application(url: str | None, profile: Path) -> Iterator[tuple[str, int | None]]:
    """(its address, its process if it was started here)."""
    if url is not None:
        yield url, None
        return
    err.print(f"starting {profile}", markup=False)
    with started(profile) as application:
        yield application.url, application.process_id


def _tools(tokenizer: str, num_workers: int | None) -> Tools:
    @contextmanager
    def watching(name: str) -> Iterator[OnProgress]:
        with LiveView(name) as view:
            yield view.show

    return Tools(
        prepare=lambda workload, target: prepare(workload, target, tokenizer),
        execute=execute,
        write_report=write_report,
        watching=watching,
        tell=lambda text: err.print(text, style="dim", markup=False),
        num_workers=num_workers,
    )
