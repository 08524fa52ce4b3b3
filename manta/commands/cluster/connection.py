"""Which cluster the commands of `manta cluster` talk to, and how they tell what happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from kuberay.cluster import Cluster
from kuberay.errors import NotServing
from manta.console import err

Command = TypeVar("Command", bound=Callable[..., Any])
Tell = Callable[[str], None]


def cluster_options(command: Command) -> Command:
    """`--kubeconfig` and `--context`."""
    command = click.option(
        "--context", default=None, help="Context of the kubeconfig; default: its current one."
    )(command)
    return click.option(
        "--kubeconfig",
        type=click.Path(path_type=Path),
        default=None,
        help="File; default: $KUBECONFIG, else ~/.kube/config.",
    )(command)


def timeout_option(what: str, default_s: float) -> Callable[[Command], Command]:
    """`--timeout SECONDS`."""
    return click.option(
        "--timeout", "timeout_s", type=click.FloatRange(min=0.0, min_open=True), default=default_s, show_default=True,
        help=f"Seconds for {what}.",
    )  # fmt: skip


def teller() -> Tell:
    """Prints lines on stderr, with the seconds since now."""
    started_s = time.monotonic()

    def tell(text: str) -> None:
        err.print(f"{time.monotonic() - started_s:7.1f} s  {text}", markup=False)

    return tell


@contextmanager
def opened(kubeconfig: Path | None, context: str | None) -> Iterator[Cluster]:
    """The cluster, named on stderr; of what does not serve the reasons are told before the error goes on."""
    with Cluster.open(kubeconfig, context) as cluster:
        err.print(f"cluster {cluster.address}" + (f", context {context}" if context else ""), markup=False)
        try:
            yield cluster
        except NotServing as exc:
            for number, reason in enumerate(exc.reasons, 1):
                err.print(f"{number:3}. {reason}", markup=False, style="yellow")
            raise
