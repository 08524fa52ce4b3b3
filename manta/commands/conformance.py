"""`manta conformance`: faults done to a whole application under load, and what its clients saw of them."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from benchmarks.conformance.catalogue import NAMES, rows
from benchmarks.conformance.cluster import Cluster
from benchmarks.conformance.kubernetes import Kubectl, RemoteCluster, run_command
from benchmarks.conformance.load import LoadDials, expected_texts, workload
from benchmarks.conformance.local import LocalApplication
from benchmarks.conformance.local_cluster import LocalCluster
from benchmarks.conformance.results import exit_code, table, write
from benchmarks.conformance.suite import Finding, Suite, Tools
from benchmarks.results_folder import machine, new_folder
from benchmarks.run.execute import execute
from benchmarks.run.prepare import prepare
from benchmarks.scenarios.knowledge import client_for, ensure_documents
from benchmarks.scenarios.processes import deployment_of
from benchmarks.target import Target
from cluster.local import serve_environment
from configs.load import Profile, manta_folder, read_profile
from configs.schema import MockModel, PlatformConfig
from manta.commands.bench.options import out_option, target_of
from manta.console import err, out


@dataclass(frozen=True, slots=True)
class Subject:
    """What faults are done to, and what is asked meanwhile."""

    cluster: Cluster
    target: Target
    narrow_model: str | None


@click.command("conformance")
@click.argument(
    "profile", type=click.Path(path_type=Path), default=manta_folder() / "configs" / "faults.yaml"
)
@click.option(
    "--faults", default=None, metavar="A,B", help="Only these, in this order; --list says which there are."
)
@click.option("--list", "is_list", is_flag=True, help="Name the faults and leave.")
@click.option(
    "--rate",
    "rate_rps",
    type=click.FloatRange(min=0, min_open=True),
    default=8.0,
    show_default=True,
    help="Requests per second of the load.",
)
@click.option(
    "--agent-share",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.125,
    show_default=True,
    help="Share of them that are questions to the agent; 0 for an application without one.",
)
@click.option(
    "--raylets",
    "num_workers",
    type=click.IntRange(1, 8),
    default=2,
    show_default=True,
    help="Worker nodes that are started on this machine.",
)
@click.option("--url", default=None, help="A running application of PROFILE; without it one is started.")
@click.option(
    "--api-key-env", default=None, metavar="NAME", help="Environment variable that holds its API key."
)
@click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="Sent with every request.")
@click.option(
    "--ca-file", type=click.Path(exists=True, dir_okay=False), default=None, help="Certificates to trust."
)
@click.option(
    "--do",
    "commands",
    multiple=True,
    metavar="'FAULT=COMMAND'",
    help="With --url: what does a fault there; ends when it is done. No shell runs it.",
)
@click.option(
    "--ray-cluster", default=None, help="With --url: the RayCluster that kubectl is to do faults to."
)
@click.option("--namespace", default="default", show_default=True, help="Its namespace.")
@click.option(
    "--kubectl", default="kubectl", show_default=True, help="The command, perhaps with --context NAME."
)
@out_option
def command(profile: Path, *, faults: str | None, is_list: bool, **options: Any) -> int:
    """Do faults to an application of PROFILE under load, one after the other, and say what clients saw.

    Without PROFILE it is configs/faults.yaml of Manta's folder; without --url a Ray of several nodes is started on this
    machine, and ended. Exit code: 0 everything that was done passed, 1 something did not, 2 nothing could be done, 130
    interrupted.
    """
    if is_list:
        out.print("\n".join(NAMES))
        return 0
    names = _chosen(faults)
    commands_of(options["commands"])  # before anything is started
    chosen = read_profile(profile)
    dials = LoadDials(rate_rps=options["rate_rps"], agent_share=options["agent_share"])
    folder = new_folder(options["out"], "conformance")
    began = time.perf_counter()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _subject(chosen, options, dials) as subject:
        findings, expected = _findings(subject, dials, folder, names)
    settings = {
        "time_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "profile": profile.name,
        "is_local": options["url"] is None,
        "num_workers": options["num_workers"] if options["url"] is None else None,
        "rate_rps": dials.rate_rps,
        "deadline_s": dials.deadline_s,
        "expected_texts": expected,
        "duration_s": round(time.perf_counter() - began, 1),
        "machine": machine(),
    }
    write(findings, folder, f"Conformance: {profile.name}", settings)
    out.print(table(findings))
    err.print(f"raw records: {folder}", markup=False)
    return 130 if any("interrupted" in (row.problem or "") for row in findings) else exit_code(findings)


def _findings(
    subject: Subject, dials: LoadDials, folder: Path, names: Sequence[str]
) -> tuple[list[Finding], dict[str, str]]:
    """(a finding for each name, entry of the mix -> the text that was expected)."""
    load = workload(dials, "conformance", 1.0)
    with client_for(subject.target) as http:
        err.print("asking what answers are to be expected", style="dim")
        if dials.agent_share > 0:
            ensure_documents(http)
        prepared = prepare(load, subject.target)
        expected = expected_texts(load, prepared, http)
    suite = Suite(
        subject.cluster,
        rows(subject.cluster, subject.target, subject.narrow_model),
        prepared,
        expected,
        folder,
        Tools(execute, tell=lambda text: err.print(text, style="dim", markup=False)),
        dials,
    )
    return suite.run(names), expected


@contextmanager
def _subject(profile: Profile, options: Mapping[str, Any], dials: LoadDials) -> Iterator[Subject]:
    model = profile.platform.models[0].name
    narrow = narrow_model(profile.platform)
    headers = (*options["headers"], f"x-request-timeout-s: {dials.deadline_s:g}")
    if options["url"] is None:
        application = LocalApplication(
            profile,
            serve_environment,
            options["num_workers"],
            lambda text: err.print(text, style="dim", markup=False),
        )
        try:
            application.start()
            target = target_of(application.url, model, None, headers, None)
            yield Subject(LocalCluster(application), target, narrow)
        finally:
            # A second signal must not leave half of it behind; stopping is bounded.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            with err.status("stopping"):
                application.stop()
        return
    target = target_of(options["url"], model, options["api_key_env"], headers, options["ca_file"])
    with client_for(replace(target, headers=())) as http:
        cluster = RemoteCluster(
            target.url, http, commands_of(options["commands"]), _kubectl(profile, options)
        )
        yield Subject(cluster, target, narrow)


def _kubectl(profile: Profile, options: Mapping[str, Any]) -> Kubectl | None:
    if options["ray_cluster"] is None:
        return None
    return Kubectl(
        words=tuple(options["kubectl"].split()),
        namespace=options["namespace"],
        ray_cluster=options["ray_cluster"],
        app_name=profile.app_name,
        main_deployment=deployment_of(profile.platform.models[0].name),
        run=run_command,
    )


def _chosen(faults: str | None) -> tuple[str, ...]:
    if faults is None:
        return NAMES
    names = tuple(name.strip() for name in faults.split(","))
    for name in names:
        if name not in NAMES:
            raise click.BadParameter(f"{name!r} is none of: {', '.join(NAMES)}", param_hint="--faults")
    return names


def commands_of(given: Sequence[str]) -> dict[str, str]:
    """Fault -> command, of texts "FAULT=COMMAND"."""
    commands = {}
    for text in given:
        name, equals, words = text.partition("=")
        if name not in NAMES or not equals or not words.strip():
            raise click.BadParameter(f"{text!r} is not 'FAULT=COMMAND'", param_hint="--do")
        commands[name] = words
    return commands


def narrow_model(platform: PlatformConfig) -> str | None:
    """A model on which one sequence runs at a time."""
    for model in platform.models:
        if isinstance(model, MockModel) and model.max_concurrent == 1:
            return model.name
    return None
