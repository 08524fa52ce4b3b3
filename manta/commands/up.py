"""`manta up`: the application on this machine until Ctrl-C; with --demo, from nothing to a cited answer."""

from __future__ import annotations

import dataclasses
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

import click
from rich.markup import escape
from rich.status import Status

from cluster.local import LocalApplication
from configs.load import Profile, home, read_profile
from configs.schema import LlamaCppEmbedder, LlamaCppModel, PlatformConfig
from manta.client import MantaClient
from manta.commands.ask import show_answer
from manta.commands.ingest import ingest, show
from manta.commands.models import fetch
from manta.console import err, out
from manta.sync import collect
from serve_app.errors import ConfigError, MantaError

DEMO_QUESTION = "What happens to an answer when the embedder is down?"
READY_TIMEOUT_S = 60.0  # after every replica runs


@click.command("up")
@click.argument("profile", type=click.Path(path_type=Path), default=Path("configs/local.yaml"))
@click.option(
    "--port", type=click.IntRange(1, 65535), default=None, help="Listen here instead of the profile's port."
)
@click.option(
    "--demo",
    is_flag=True,
    help="Fetch optional models, ingest this repository's documentation, ask a question.",
)
@click.option("--once", is_flag=True, help="Stop when ready (with --demo: after the answer).")
@click.option("--dashboard", is_flag=True, help="Run Ray's dashboard too.")
def command(profile: Path, port: int | None, *, demo: bool, once: bool, dashboard: bool) -> int:
    """Start PROFILE (default configs/local.yaml) and serve until Ctrl-C."""
    chosen = read_profile(profile)
    if port is not None:
        chosen = dataclasses.replace(chosen, port=port)
    _warn_if_exposed(chosen.host)
    fetch_weights(chosen.platform, with_optional=demo)
    application = LocalApplication(chosen, dashboard=dashboard)
    _stop_on_sigterm()
    try:
        start(application)
        code = run_demo(application.url) if demo else 0
        if not once:
            _say_what_next(chosen, application.url)
            signal.pause()
    except KeyboardInterrupt:
        code = 0
    finally:
        with err.status("stopping"):
            application.stop()
    return code


def fetch_weights(platform: PlatformConfig, *, with_optional: bool) -> None:
    """Have the weights on this machine: those the profile needs, and the optional ones if they can be had."""
    folder = home(platform)
    if isinstance(platform.embedder, LlamaCppEmbedder):
        fetch(platform.embedder.weights, folder)
    for model in platform.models:
        if isinstance(model, LlamaCppModel) and (with_optional or not model.optional):
            _fetch_or_warn(model, folder) if model.optional else fetch(model.weights, folder)


def start(application: LocalApplication) -> None:
    """Start, show the states of the deployments meanwhile, and say what it took."""
    began = time.perf_counter()
    with err.status("starting Ray") as status:
        application.start(lambda states: _show_states(status, states))
        _wait_until_ready(application.url, status)
    seconds = time.perf_counter() - began
    mebibytes = application.memory_bytes() / 2**20
    err.print(
        f"ready at {application.url} after {seconds:.1f} s, {mebibytes:,.0f} MiB of memory in all processes"
    )


def run_demo(url: str) -> int:
    """Ingest this repository's documentation and ask about it."""
    root = Path(__file__).resolve().parents[2]
    with MantaClient(url) as client:
        report = ingest(client, [*collect([root / "docs"], "docs"), *collect([root / "README.md"], "readme")])
        show(report)
        if report.failed:
            return 1
        out.print(f"\n[bold]Q: {DEMO_QUESTION}[/bold]")
        return show_answer(client, DEMO_QUESTION)


def _warn_if_exposed(host: str) -> None:
    is_loopback = host == "localhost" or host.startswith("127.") or host == "::1"
    if not is_loopback:
        err.print(
            f"{host} is not loopback, and there is no authentication yet: whoever reaches the port can read "
            "and change every knowledge base",
            style="yellow",
            markup=False,
        )


def _fetch_or_warn(model: LlamaCppModel, folder: Path) -> None:
    try:
        fetch(model.weights, folder)
    except MantaError as exc:
        err.print(f"{model.name} is left out: {exc.message}", style="yellow", markup=False)


def _show_states(status: Status, states: Mapping[str, str]) -> None:
    waiting = [name for name, state in states.items() if state != "HEALTHY"]
    status.update(f"starting {', '.join(waiting)}" if waiting else "starting")


def _wait_until_ready(url: str, status: Status) -> None:
    give_up = time.monotonic() + READY_TIMEOUT_S
    with MantaClient(url, timeout_s=10.0) as client:
        while missing := client.missing():
            reasons = "; ".join(f"{name}: {reason}" for name, reason in missing.items())
            if time.monotonic() > give_up:
                raise ConfigError(f"not ready after {READY_TIMEOUT_S:.0f} s: {reasons}")
            status.update(f"waiting for {escape(reasons)}")
            time.sleep(0.1)


def _say_what_next(profile: Profile, url: str) -> None:
    flag = f" --url {url}" if profile.port != 8000 else ""
    out.print(f"\nServing on {url} until Ctrl-C. In another terminal:", markup=False)
    out.print(
        f'  manta ask "Which file formats can be ingested?"{flag}      manta ingest PATH...{flag}',
        markup=False,
    )
    out.print(f"  the API's page: {url}/docs      what each dependency does: {url}/readyz", markup=False)


def _stop_on_sigterm() -> None:
    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
