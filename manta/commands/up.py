"""`manta up`: the application on this machine until Ctrl-C; with --demo, from nothing to a cited answer.

SIGHUP makes it read its profile again and replace every replica while it serves.
"""

from __future__ import annotations

import dataclasses
import os
import queue
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

import click
from rich.markup import escape
from rich.status import Status

from cluster.local import LocalApplication, require_devices
from configs.load import Profile, ProfileError, api_key, home, manta_folder, read_profile
from configs.schema import (
    AutoEmbedder,
    LlamaCppModel,
    LocalEmbedder,
    ModelFolder,
    OnnxEmbedder,
    PlatformConfig,
    VllmModel,
    Weights,
)
from manta.client import MantaClient
from manta.commands.ask import show_answer
from manta.commands.ingest import ingest, show
from manta.commands.models import choose, fetch, fetch_encoder
from manta.console import err, out
from manta.profile_options import profile_argument
from manta.stopping import stop_when_input_ends
from manta.sync import collect
from serve_app.engines.vllm import presence
from serve_app.errors import ConfigError, MantaError
from serve_app.identity.exposure import require_safe
from serve_app.model_cache.cache import has_onnx

DEMO_QUESTION = "What happens to an answer when the embedder is down?"
READY_TIMEOUT_S = 60.0  # after every replica runs


@click.command("up")
@profile_argument
@click.option(
    "--port", type=click.IntRange(1, 65535), default=None, help="Listen here instead of the profile's port."
)
@click.option(
    "--demo",
    is_flag=True,
    help="Fetch optional models, ingest this repository's documentation, ask a question.",
)
@click.option("--once", is_flag=True, help="Stop when ready (with --demo: after the answer).")
@click.option(
    "--stop-with-stdin", is_flag=True, help="Stop when standard input ends, as it does with a parent."
)
@click.option("--dashboard", is_flag=True, help="Run Ray's dashboard too.")
def command(
    profile: Path, port: int | None, *, demo: bool, once: bool, dashboard: bool, stop_with_stdin: bool
) -> int:
    """Start PROFILE (default: MANTA_PROFILE, else configs/local.yaml of Manta's folder) and serve until Ctrl-C.

    `kill -HUP` makes it read PROFILE again and replace its replicas, one after the other.
    """
    chosen = _read(profile, port)
    if chosen.platform.cluster is not None:
        err.print("the section cluster is for `manta cluster`: on one machine nothing reads it", markup=False)
    require_safe(chosen.host, chosen.platform.door.authentication)
    require_devices(chosen)  # before anything is fetched for them
    fetch_weights(chosen.platform, with_optional=demo)
    application = LocalApplication(chosen, dashboard=dashboard)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if stop_with_stdin:
        stop_when_input_ends()
    hangups = _hangups()
    try:
        start(application)
        code = run_demo(application.url) if demo else 0
        if not once:
            _say_what_next(chosen, application.url)
            while True:
                hangups.get()
                reload(application, profile, port)
    except KeyboardInterrupt:
        code = 0
    finally:
        with err.status("stopping"):
            application.stop()
    return code


def fetch_weights(platform: PlatformConfig, *, with_optional: bool) -> None:
    """Have the weights on this machine: those the profile needs, and the optional ones if they can be had."""
    folder = home(platform)
    embedder = platform.embedder
    if isinstance(embedder, AutoEmbedder) and has_onnx(embedder.weights):
        # Before anything else of the application takes the CPUs.
        choose(embedder.weights, folder, embedder.planned_threads)
    elif isinstance(embedder, OnnxEmbedder):
        fetch_encoder(embedder.weights, folder)
    elif isinstance(embedder, LocalEmbedder):
        fetch(embedder.weights, folder)
    for model in platform.models:
        if isinstance(model, LlamaCppModel | VllmModel) and (with_optional or not model.optional):
            _fetch_or_warn(model, folder) if model.optional else _fetch(model, folder)


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


def reload(application: LocalApplication, path: Path, port: int | None) -> None:
    """Read the profile again and update the application; whatever is wrong is told, and what ran goes on."""
    began = time.perf_counter()
    try:
        chosen = _read(path, port)
        fetch_weights(chosen.platform, with_optional=False)
        with err.status("replacing replicas") as status:
            application.update(chosen, lambda states: _show_states(status, states))
    except (MantaError, ProfileError) as exc:
        err.print(f"not reloaded: {exc}; what ran before goes on", style="red", markup=False)
    else:
        err.print(f"reloaded {path} after {time.perf_counter() - began:.1f} s", markup=False)


def run_demo(url: str) -> int:
    """Ingest this repository's documentation and ask about it."""
    root = manta_folder()
    with MantaClient(url, api_key=api_key()) as client:
        report = ingest(client, [*collect([root / "docs"], "docs"), *collect([root / "README.md"], "readme")])
        show(report)
        if report.failed:
            return 1
        out.print(f"\n[bold]Q: {DEMO_QUESTION}[/bold]")
        return show_answer(client, DEMO_QUESTION)


def _read(path: Path, port: int | None) -> Profile:
    chosen = read_profile(path)
    return chosen if port is None else dataclasses.replace(chosen, port=port)


def _fetch(model: LlamaCppModel | VllmModel, folder: Path) -> None:
    weights: Weights | ModelFolder
    if isinstance(model, VllmModel):
        presence.interpreter(model)  # before gigabytes come for an environment that is not there
        weights = presence.weights(model)
    else:
        weights = model.weights
    fetch(weights, folder, key=f"models.{model.name}.weights")


def _fetch_or_warn(model: LlamaCppModel | VllmModel, folder: Path) -> None:
    try:
        _fetch(model, folder)
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
    out.print(f"  kill -HUP {os.getpid()} reads {profile.path} again, without a pause", markup=False)


def _hangups() -> queue.SimpleQueue[None]:
    """Gets an item for each SIGHUP that asks to read the profile again.

    A terminal that closes sends the same signal: then this stops, as it did without a handler, unless it
    was started with nohup.
    """
    hangups: queue.SimpleQueue[None] = queue.SimpleQueue()  # its `put` may interrupt its `get`
    survives = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    had_terminal = _has_terminal()

    def hang_up(signum: int, frame: FrameType | None) -> None:
        if not had_terminal or _has_terminal():
            hangups.put(None)
        elif not survives:
            raise KeyboardInterrupt

    signal.signal(signal.SIGHUP, hang_up)
    return hangups


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
