"""`manta config`: check a profile, or print the reference of all settings."""

from __future__ import annotations

from pathlib import Path

import click

from configs.load import read_profile
from configs.reference import render
from manta.console import out


@click.group("config")
def command() -> None:
    """Check a profile; print the reference of all settings."""


@command.command("check")
@click.argument("profile", type=click.Path(path_type=Path))
def check(profile: Path) -> int:
    """Say whether PROFILE can be used; every fault is named with its key."""
    chosen = read_profile(profile)
    names = ", ".join(model.name for model in chosen.platform.models)
    out.print(f"{profile}: fine; models {names}; embedder {chosen.platform.embedder.name}", markup=False)
    return 0


@command.command("reference")
def reference() -> int:
    """Print docs/configuration.md, generated from the schema."""
    click.echo(render(), nl=False)
    return 0
