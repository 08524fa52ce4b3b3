"""Which judge: RAGAS where it is installed, else the built-in one. Nothing heavy is imported before it is asked for."""

from __future__ import annotations

import importlib.util
from typing import Literal

from serve_app.engines.base import EmbeddingClient, ModelClient
from serve_app.errors import ConfigError
from serve_app.evaluation.base import Judge
from serve_app.evaluation.model_judge import ModelJudge

Evaluator = Literal["auto", "builtin", "ragas"]
INSTALL_RAGAS = "run `make ragas`, and start the application with .venv-ragas/bin/manta"


def open_judge(
    evaluator: Evaluator, name: str, client: ModelClient, embedder: EmbeddingClient | None
) -> Judge:
    """A judge over the chat model `name`. What `auto` has led to, its `evaluator` says.

    Raises:
        ConfigError: RAGAS is asked for and not installed, or what is installed cannot be imported.
    """
    if evaluator == "builtin" or (evaluator == "auto" and importlib.util.find_spec("ragas") is None):
        return ModelJudge(name, client, embedder)
    try:
        from serve_app.evaluation.ragas_judge import RagasJudge
    except ImportError as exc:
        raise ConfigError(f"RAGAS cannot be imported: {INSTALL_RAGAS} ({exc})") from exc
    return RagasJudge(name, client, embedder)
