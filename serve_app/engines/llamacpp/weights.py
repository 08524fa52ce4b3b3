"""What identifies the weights of an engine."""

from __future__ import annotations

from serve_app.engines.llamacpp.library import Model
from serve_app.model_cache.catalogue import SOURCE_SHA256_KEY
from serve_app.model_cache.download import sha256_of


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
