"""Which judge: the built-in one, or RAGAS where it is installed. Nothing heavy is imported before it is asked for."""

from __future__ import annotations

from typing import Literal

from serve_app.engines.base import EmbeddingClient, ModelClient
from serve_app.errors import ConfigError
from serve_app.evaluation.base import Judge
from serve_app.evaluation.model_judge import ModelJudge

Evaluator = Literal["builtin", "ragas"]
INSTALL_RAGAS = 'pip install "ragas==0.4.3" "langchain-community<0.4.2"'


def open_judge(
    evaluator: Evaluator, name: str, client: ModelClient, embedder: EmbeddingClient | None
) -> Judge:
    """A judge over the chat model `name`.

    Raises:
        ConfigError: RAGAS is asked for and not installed.
    """
    if evaluator == "builtin":
        return ModelJudge(name, client, embedder)
    try:
        from serve_app.evaluation.ragas_judge import RagasJudge
    except ImportError as exc:
        raise ConfigError(f"the evaluator ragas needs: {INSTALL_RAGAS} ({exc})") from exc
    return RagasJudge(name, client, embedder)
