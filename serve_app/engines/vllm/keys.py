"""How messages name the keys of one model's configuration."""

from __future__ import annotations

from configs.schema import VllmModel


def key(config: VllmModel, name: str) -> str:
    """A key of one model, as messages name it."""
    return f"models.{config.name}.{name}"
