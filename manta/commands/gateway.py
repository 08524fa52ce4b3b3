"""`manta gateway`: LiteLLM's proxy in front of the application."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from cluster.litellm.local import DEFAULT_PYTHON, as_yaml, end_with_signals, running
from configs.load import read_profile
from manta.console import err, out
from manta.profile_options import profile_argument
from manta.stopping import stop_when_input_ends

_UPSTREAM = click.option(
    "--upstream", default=None, help="The application's address instead of the profile's."
)


@click.group("gateway")
def command() -> None:
    """LiteLLM's proxy in front of the application: its configuration, and a proxy on this machine."""


@command.command()
@profile_argument
@_UPSTREAM
@click.option(
    "--out", "target", type=click.Path(path_type=Path), default=None, help="A file instead of stdout."
)
def render(profile: Path, upstream: str | None, target: Path | None) -> None:
    """Write LiteLLM's config.yaml for PROFILE. Secrets are named in it, never written."""
    text = as_yaml(read_profile(profile), upstream)
    if target is None:
        click.echo(text, nl=False)
    else:
        target.write_text(text)
        err.print(f"wrote {target}")


@command.command()
@profile_argument
@_UPSTREAM
@click.option("--port", type=click.IntRange(1, 65535), default=None, help="Instead of the profile's.")
@click.option(
    "--python",
    type=click.Path(path_type=Path),
    default=DEFAULT_PYTHON,
    help="The interpreter of LiteLLM's environment.",
)
@click.option(
    "--stop-with-stdin", is_flag=True, help="Stop when standard input ends, as it does with a parent."
)
def run(profile: Path, upstream: str | None, port: int | None, python: Path, *, stop_with_stdin: bool) -> int:
    """Run LiteLLM's proxy on loopback until Ctrl-C, in front of an application that is started by itself."""
    # Also while the proxy starts: it is in a session of its own, and would outlive this process.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if stop_with_stdin:
        stop_when_input_ends()
    with running(read_profile(profile), python=python, port=port, upstream=upstream) as (
        url,
        process,
    ):
        end_with_signals(process)
        out.print(f"LiteLLM is ready on {url}/v1; Ctrl-C ends it")
        code = process.wait()
    return 0 if code in (0, -15, -2) else 1
