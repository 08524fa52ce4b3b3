"""`manta models`: what Manta knows by name, what is on this machine, and fetching it."""

from __future__ import annotations

import os
from pathlib import Path

import click
from rich.table import Table

from configs.load import default_home, home, read_profile
from configs.schema import CatalogueWeights, FileWeights, LocalFolder, ModelFolder, VllmModel, Weights
from manta.console import byte_progress, err, out
from serve_app.engines.vllm import presence
from serve_app.errors import ConfigError
from serve_app.model_cache.cache import (
    describe,
    ensure,
    ensure_encoder,
    has_onnx,
    locate,
    locate_encoder,
    words,
)
from serve_app.model_cache.catalogue import CATALOGUE
from serve_app.model_cache.choice import Choice


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
    out.print(str(fetch(weights, folder, key=_key(name), force=force)), markup=False)
    return 0


@command.command("where")
@click.argument("name")
@click.option(
    "--profile", type=click.Path(path_type=Path), default=None, help="Find NAME among this profile's models."
)
def where(name: str, profile: Path | None) -> int:
    """Print the file or folder of NAME; exit code 1 when it is not on this machine."""
    weights, folder = _find(name, profile)
    path = locate(weights, folder, _key(name))
    if path is None:
        of_profile = f" --profile {profile}" if profile else ""
        err.print(
            f"manta: {name} is not on this machine; fetch it with: manta models pull {name}{of_profile}",
            markup=False,
        )
        return 1
    out.print(str(path), markup=False)
    return 0


@command.command("tune")
@click.argument("name")
@click.option("--threads", type=click.IntRange(1), default=None, help="Of the engine (all CPUs).")
def tune(name: str, threads: int | None) -> int:
    """Measure which engine embeds fastest with NAME on this machine, and keep it for `engine: auto`."""
    weights, folder = _find(name, None)
    assert isinstance(weights, CatalogueWeights)
    if not has_onnx(weights):
        raise ConfigError(f"{name} runs on one engine only: there is nothing to choose")
    choice = choose(weights, folder, threads or os.cpu_count() or 1, again=True)
    table = Table(box=None, pad_edge=False)
    for column in ("engine", "weights", "short texts", "long texts", "least cosine to F32"):
        table.add_column(column, justify="left" if column in ("engine", "weights") else "right")
    for one in choice.measured:
        rates = (f"{rate:,.0f} tokens/s" for rate in (one.short_tokens_per_s, one.long_tokens_per_s))
        table.add_row(one.engine, one.weight_type, *rates, f"{one.min_cosine:.6f}")
    out.print(table)
    out.print(f"{choice.best.engine} is kept, for {choice.num_threads} threads on {choice.cpu}", markup=False)
    return 0


def choose(weights: CatalogueWeights, folder: Path, num_threads: int, *, again: bool = False) -> Choice:
    """The engine for `engine: auto`, fetched and measured if nobody did, with signs of life.

    Raises as `serve_app.engines.embedding.fastest.ensure_choice`.
    """
    from serve_app.engines.embedding.fastest import ensure_choice

    fetch_encoder(weights, folder)
    with err.status(f"measuring which engine is the fastest for {weights.catalogue} here"):
        return ensure_choice(weights, folder, num_threads, again=again)


def fetch_encoder(weights: CatalogueWeights, folder: Path) -> None:
    """Have both forms of an embedding model here; as `fetch`."""
    if locate_encoder(weights, folder) is None:
        with byte_progress() as progress:
            task = progress.add_task(weights.catalogue, total=None)
            ensure_encoder(
                weights, folder, lambda done, total: progress.update(task, completed=done, total=total)
            )


def fetch(weights: Weights | ModelFolder, folder: Path, *, key: str = "weights", force: bool = False) -> Path:
    """Have the weights here, with a progress bar while they are fetched.

    Raises as `serve_app.model_cache.cache.ensure`.
    """
    found = None if force else locate(weights, folder, key)
    if found is not None:
        return found
    with byte_progress() as progress:
        task = progress.add_task(_label(weights), total=None)
        return ensure(
            weights,
            folder,
            lambda done, total: progress.update(task, completed=done, total=total),
            key=key,
            force=force,
        )


def _label(weights: Weights | ModelFolder) -> str:
    return weights.path if isinstance(weights, (FileWeights, LocalFolder)) else words(weights)


def _key(name: str) -> str:
    """Where a profile says what NAME's weights are, for errors."""
    return f"models.{name}.weights"


def _find(name: str, profile: Path | None) -> tuple[Weights | ModelFolder, Path]:
    if profile is None:
        if name not in CATALOGUE:
            raise ConfigError(
                f"no model {name!r} in the catalogue: {', '.join(CATALOGUE)}; or give --profile"
            )
        return CatalogueWeights(catalogue=name), default_home()
    platform = read_profile(profile).platform
    for model in (*platform.models, platform.embedder):
        if model.name == name and isinstance(model, VllmModel):
            return presence.weights(model), home(platform)
        weights = getattr(model, "weights", None)
        if model.name == name and weights is not None:
            return weights, home(platform)
    raise ConfigError(f"{profile}: no model {name!r} with weights")
