"""`manta models`: what Manta knows by name, what is on this machine, and fetching it."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from configs.load import default_home, home, read_profile
from configs.schema import CatalogueWeights, Weights
from manta.console import byte_progress, err, out
from serve_app.errors import ConfigError
from serve_app.model_cache.cache import describe, ensure, locate
from serve_app.model_cache.catalogue import CATALOGUE


@click.group("models")
def command() -> None:
    """List, fetch and locate model weights."""


@command.command("list")
def list_models() -> int:
    """Show the catalogue and what is on this machine."""
    table = Table(box=None, pad_edge=False)
    for column in ("name", "kind", "licence", "download", "on this machine"):
        table.add_column(column, justify="right" if column == "download" else "left")
    for model in describe(default_home()):
        size = f"{model.num_bytes / 1e6:,.0f} MB" if model.num_bytes else ""
        table.add_row(model.name, model.kind, model.licence, size, model.problem or str(model.path or "no"))
    out.print(table)
    return 0


@command.command("pull")
@click.argument("name")
@click.option(
    "--profile", type=click.Path(path_type=Path), default=None, help="Find NAME among this profile's models."
)
@click.option("--force", is_flag=True, help="Fetch again what is already here.")
def pull(name: str, profile: Path | None, *, force: bool) -> int:
    """Fetch NAME: a model of the catalogue, or with --profile a model of that profile."""
    weights, folder = _find(name, profile)
    out.print(str(fetch(weights, folder, force=force)), markup=False)
    return 0


@command.command("where")
@click.argument("name")
@click.option(
    "--profile", type=click.Path(path_type=Path), default=None, help="Find NAME among this profile's models."
)
def where(name: str, profile: Path | None) -> int:
    """Print the file of NAME; exit code 1 when it is not on this machine."""
    weights, folder = _find(name, profile)
    path = locate(weights, folder)
    if path is None:
        err.print(
            f"manta: {name} is not on this machine; fetch it with: manta models pull {name}", markup=False
        )
        return 1
    out.print(str(path), markup=False)
    return 0


def fetch(weights: Weights, folder: Path, *, force: bool = False) -> Path:
    """Have the weights here, with a progress bar while they are fetched.

    Raises as `serve_app.model_cache.cache.ensure`.
    """
    found = None if force else locate(weights, folder)
    if found is not None:
        return found
    with byte_progress() as progress:
        task = progress.add_task(_label(weights), total=None)
        return ensure(
            weights,
            folder,
            lambda done, total: progress.update(task, completed=done, total=total),
            force=force,
        )


def _label(weights: Weights) -> str:
    return (
        weights.catalogue
        if isinstance(weights, CatalogueWeights)
        else str(getattr(weights, "file", "weights"))
    )


def _find(name: str, profile: Path | None) -> tuple[Weights, Path]:
    if profile is None:
        if name not in CATALOGUE:
            raise ConfigError(
                f"no model {name!r} in the catalogue: {', '.join(CATALOGUE)}; or give --profile"
            )
        return CatalogueWeights(catalogue=name), default_home()
    platform = read_profile(profile).platform
    for model in (*platform.models, platform.embedder):
        weights = getattr(model, "weights", None)
        if model.name == name and weights is not None:
            return weights, home(platform)
    raise ConfigError(f"{profile}: no model {name!r} with weights")
