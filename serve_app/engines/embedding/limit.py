"""How long a text may be."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from serve_app.errors import ConfigError


class LimitedConfig(Protocol):
    """An embedder's configuration."""

    @property
    def name(self) -> str: ...

    @property
    def context_tokens(self) -> int | None: ...


def kept_limit(config: LimitedConfig, trained_tokens: int, weights: Path) -> int:
    """The longest text, in tokens: what the configuration wants, or what the model was trained with.

    Raises:
        ConfigError: the configuration wants more than that.
    """
    if config.context_tokens is None:
        return trained_tokens
    if config.context_tokens > trained_tokens:
        raise ConfigError(
            f"embedder {config.name}: context_tokens {config.context_tokens} is above the "
            f"{trained_tokens} of {weights.name}"
        )
    return config.context_tokens
