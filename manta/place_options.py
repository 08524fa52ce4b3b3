"""How the places of a command line are reached, said the same way by every command that takes places."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--endpoint", default=None, help="Of a store that speaks S3's protocol and is not Amazon's."
    ),
    click.option("--region", default=None, help="AWS region of the bucket."),
    click.option("--public-bucket", is_flag=True, help="Send S3 no signatures."),
    click.option(
        "--allow-host", multiple=True, help="Another host that pages may be on or redirect to; repeatable."
    ),
    click.option("--allow-private", is_flag=True, help="Let pages be on private and loopback addresses."),
)
_NAMES = {"public_bucket": "is_public", "allow_host": "also_allow"}  # option -> what `named` calls it


def place_options(command: Command) -> Command:
    """Options that the command takes as `**reach`, for `reached`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def reached(reach: Mapping[str, object]) -> dict[str, object]:
    """The options of `serve_app.retrieval.sources.open.named`."""
    return {_NAMES.get(name, name): value for name, value in reach.items()}
