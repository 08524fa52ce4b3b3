"""RAGAS itself, where it is installed; skips itself elsewhere."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from serve_app.errors import EngineFailed, Overloaded
from serve_app.evaluation.base import Metric, Sample
from serve_app.messages import Deadline, Embeddings, Endpoint, JsonObject, RequestContext

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("ragas") is None, reason="RAGAS is not installed: pip install ragas==0.4.3"
    ),
    pytest.mark.filterwarnings("ignore"),
]
SAMPLE = Sample("How fast is it?", "It is fast. It is red.", ("It is fast.",), "It is fast.")
CONTEXT = RequestContext("r", "acme", Deadline.after(86_400))


class Model:
    """Answers by the name of the reply that RAGAS asks for."""

    def __init__(self, **replies: Any) -> None:
        self.replies = replies

    async def respond(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> bytes:
        name = body["response_format"]["json_schema"]["schema"]["title"]
        reply = self.replies[name]
        if isinstance(reply, Exception):
            raise reply
        document = {"choices": [{"message": {"content": json.dumps(reply)}}], "usage": {"total_tokens": 3}}
        return json.dumps(document).encode()


class Embedder:
    async def embed(self, texts: Sequence[str], context: RequestContext, **_: Any) -> Embeddings:
        vectors = np.tile(np.array([[1.0, 0.0]], dtype=np.float32), (len(texts), 1))
        return Embeddings(vectors, (1,) * len(texts))


def verdict(statement: str, value: int) -> JsonObject:
    return {"statement": statement, "reason": "", "verdict": value}


GOOD: dict[str, Any] = {
    "StatementGeneratorOutput": {"statements": ["It is fast.", "It is red."]},
    "NLIStatementOutput": {"statements": [verdict("It is fast.", 1), verdict("It is red.", 0)]},
    "AnswerRelevanceOutput": {"question": "How quick is it?", "noncommittal": 0},
    "ContextRelevanceOutput": {"rating": 1},
}


async def assess(*metrics: Metric, embedder: Any = None, **replies: Any) -> Any:
    from serve_app.evaluation.ragas_judge import RagasJudge

    assert os.environ["RAGAS_DO_NOT_TRACK"] == "true"
    judge = RagasJudge("j", Model(**{**GOOD, **replies}), embedder)  # type: ignore[arg-type]
    return await judge.assess(SAMPLE, metrics, CONTEXT)


async def test_scores_and_unsupported_claims() -> None:
    asked = (Metric.FAITHFULNESS, Metric.ANSWER_RELEVANCY, Metric.CONTEXT_RELEVANCE)
    found = await assess(*asked, embedder=Embedder())
    assert [found.value(metric) for metric in asked] == [0.5, pytest.approx(1.0), 0.5]
    assert found.scores[Metric.FAITHFULNESS].unsupported == ("It is red.",)
    assert len(found.usages) == 5


@pytest.mark.parametrize(
    "replies",
    [
        {"NLIStatementOutput": {"statements": [verdict("It is fast.", 1)]}},
        {"NLIStatementOutput": {"nonsense": 1}},
        {"StatementGeneratorOutput": {"statements": []}},
        {"StatementGeneratorOutput": Overloaded("full")},
    ],
)
async def test_what_is_incomplete_is_unknown(replies: dict[str, Any]) -> None:
    found = await assess(Metric.FAITHFULNESS, Metric.CONTEXT_RELEVANCE, **replies)
    assert found.value(Metric.FAITHFULNESS) is None
    assert found.scores[Metric.FAITHFULNESS].reason
    assert found.value(Metric.CONTEXT_RELEVANCE) == 0.5


@pytest.mark.parametrize("reply", [{"rating": 7}, EngineFailed("broke"), {}])
async def test_a_rating_that_failed_is_unknown(reply: Any) -> None:
    with pytest.raises(EngineFailed, match="no score"):
        await assess(Metric.CONTEXT_RELEVANCE, ContextRelevanceOutput=reply)
