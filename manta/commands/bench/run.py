"""`manta bench run`: one load test, from the command's words to a results folder and its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from benchmarks.report.page import write_report
from benchmarks.report.text import headline_table
from benchmarks.results_folder import new_folder
from benchmarks.run.execute import RunOptions, execute
from benchmarks.run.live import LiveView
from benchmarks.run.prepare import prepare
from configs.load import parse_workload, read_workload_document
from configs.workload import Workload
from manta.commands.bench.options import out_option, target_of, target_options, workers_option
from manta.console import err, out


@click.command("run")
@click.argument("workload", type=click.Path(path_type=Path), required=False)
@target_options
@click.option("--rate", type=float, default=None, help="Requests per second (Poisson, unless --process).")
@click.option(
    "--process",
    type=click.Choice(["constant", "poisson", "gamma"]),
    default=None,
    help="How requests of --rate arrive.",
)
@click.option("--burstiness", type=float, default=None, help="Of --process gamma; 1 is Poisson, 0.25 bursts.")
@click.option("--concurrency", type=int, default=None, help="A closed loop of so many users: capacity only.")
@click.option("--trace", type=click.Path(path_type=Path), default=None, help="Replay a trace's file.")
@click.option("--speed-up", type=float, default=None, help="Of --trace: 2 replays it in half the time.")
@click.option("--duration", "duration_s", type=float, default=None, help="Seconds in which requests arrive.")
@click.option(
    "--kind",
    type=click.Choice(["chat", "completions", "embeddings"]),
    default=None,
    help="What is asked.",
)
@click.option("--prompt-tokens", type=int, default=None, help="Length of the prompts.")
@click.option("--output-tokens", type=int, default=None, help="Length of the answers.")
@click.option("--ttft-ms", type=float, default=None, help="Objective: time to the first token.")
@click.option("--tpot-ms", type=float, default=None, help="Objective: time of a further token.")
@click.option("--e2e-ms", type=float, default=None, help="Objective: time to the end of the answer.")
@click.option("--warm-up", "warm_up_s", type=float, default=None, help="Seconds that the figures leave out.")
@click.option("--timeout", "timeout_s", type=float, default=None, help="Seconds until a request is given up.")
@click.option("--seed", type=int, default=None, help="Everything random comes from it.")
@click.option("--name", default=None, help="Part of the results folder's name.")
@workers_option
@click.option(
    "--token-times/--no-token-times",
    default=True,
    help="Keep when every token came in the raw records.  [default: keep]",
)
@out_option
def command(workload: Path | None, **options: Any) -> int:
    """Run WORKLOAD (a YAML file; without it, a small default) against a server.

    Flags win over the file. Results go to a new folder: raw records, a summary, and report.html.
    Exit code: 0 measured, 1 objectives were not met, 2 it could not be measured, 3 the figures are invalid.
    """
    document = read_workload_document(workload) if workload is not None else {}
    chosen: Workload = parse_workload(with_flags(document, options))
    target = target_of(
        options["url"], options["model"], options["api_key_env"], options["headers"], options["ca_file"]
    )
    with err.status("asking the server what it serves"):
        prepared = prepare(chosen, target, options["tokenizer"])
    folder = new_folder(options["out"], chosen.name)
    with LiveView(chosen.name) as view:
        run = execute(
            chosen,
            prepared,
            folder,
            RunOptions(
                num_workers=options["num_workers"],
                keep_token_times=options["token_times"],
                on_progress=view.show,
            ),
        )
    write_report(run)
    out.print(headline_table(run))
    err.print(f"report: {folder / 'report.html'}", markup=False)
    return exit_code(run.summary.certification.is_valid, is_passed=run.summary.objectives_met)


def exit_code(is_valid: bool, *, is_passed: bool | None) -> int:  # noqa: FBT001
    """For CI: figures that are not to be trusted are worse than objectives that are not met."""
    if not is_valid:
        return 3
    return 1 if is_passed is False else 0


def with_flags(document: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """The workload file's document with the command's flags in it."""
    changed = dict(document)
    for name in ("duration_s", "warm_up_s", "timeout_s", "seed", "name"):
        if flags[name] is not None:
            changed[name] = flags[name]
    arrivals = _arrivals(flags)
    if arrivals is not None:
        changed["arrivals"] = arrivals
    limits = {name: flags[name] for name in ("ttft_ms", "tpot_ms", "e2e_ms") if flags[name] is not None}
    if limits:
        changed["objectives"] = _over(changed.get("objectives") or {}, limits)
    lengths = {name: flags[name] for name in ("prompt_tokens", "output_tokens") if flags[name] is not None}
    if flags["kind"] is not None:
        changed["requests"] = [{"kind": flags["kind"], **lengths}]
    elif lengths:
        requests = changed.get("requests") or [{"kind": "chat"}]
        if isinstance(requests, list):
            changed["requests"] = [_over(request, lengths) for request in requests]
    return changed


def _over(base: object, changes: dict[str, Any]) -> object:
    """A mapping with the changes in it; anything else as it is, for the schema to refuse by its key."""
    return {**base, **changes} if isinstance(base, dict) else base


def _arrivals(flags: dict[str, Any]) -> dict[str, Any] | None:
    given = [name for name in ("rate", "concurrency", "trace") if flags[name] is not None]
    if len(given) > 1:
        raise click.UsageError(f"--{given[0]} and --{given[1]} exclude each other")
    if flags["concurrency"] is not None:
        return {"process": "closed", "concurrency": flags["concurrency"]}
    if flags["trace"] is not None:
        speed_up = {} if flags["speed_up"] is None else {"speed_up": flags["speed_up"]}
        return {"process": "trace", "path": str(flags["trace"]), **speed_up}
    if flags["rate"] is not None:
        return _process(flags)
    if flags["process"] is not None or flags["burstiness"] is not None:
        raise click.UsageError("--process and --burstiness need --rate")
    return None


def _process(flags: dict[str, Any]) -> dict[str, Any]:
    process = flags["process"] or ("gamma" if flags["burstiness"] is not None else "poisson")
    shape = {} if flags["burstiness"] is None else {"burstiness": flags["burstiness"]}
    return {"process": process, "rate_rps": flags["rate"], **shape}
