"""The weights of an engine: where they must be, and what identifies them."""

from __future__ import annotations

from pathlib import Path

from configs.schema import FileWeights, Weights
from serve_app.engines.llamacpp_library import Model
from serve_app.errors import ConfigError
from serve_app.model_cache.cache import locate, pull_command, words
from serve_app.model_cache.catalogue import SOURCE_SHA256_KEY
from serve_app.model_cache.download import sha256_of


def find_weights(weights: Weights, home: Path) -> Path:
    """The GGUF file. Nothing is downloaded: a replica that starts must not wait for a hub.

    Raises:
        ConfigError: it is not here (with the command that fetches it) or broken.
    """
    path = locate(weights, home)
    if path is None:
        assert not isinstance(weights, FileWeights)  # a missing file is refused by `locate`
        raise ConfigError(
            f"the weights {words(weights)} are not on this machine; fetch them with: {pull_command(weights)}"
        )
    return path


def weights_id(model: Model) -> str:
    """Changes when vectors stop being comparable.

    It is the model's name and a checksum: of the original weights if the file was converted here,
    else of the file. BF16 and F16 conversions of the same weights share an id: their vectors differ
    by less than 1e-4 in cosine (tests/contract/test_minilm_fidelity.py), far below what changes a
    ranking, and a knowledge base that moves to another CPU need not be embedded again.
    """
    name = model.metadata("general.name") or model.path.stem
    digest = model.metadata(SOURCE_SHA256_KEY) or sha256_of(model.path)
    return f"{name}-{digest[:12]}"
