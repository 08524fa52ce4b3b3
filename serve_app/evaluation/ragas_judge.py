"""RAGAS 0.4 as a judge: its own metrics and prompts, over our models. Imported only where it is asked for.

RAGAS takes a rating alone where the other one of two failed, divides by the verdicts that came, and counts any number
but 0 as a yes; here a metric of which a reply failed or does not fit is unknown, as with the built-in judge. Its
`silent` usage statistics are switched off before it is imported, which takes seconds.

Its prompts hold the material as JSON and say nothing of instructions in it: texts are cleaned like those of the
built-in judge, and framed less well.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os  # see tests/unit/test_architecture.py
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from serve_app.engines.base import EmbeddingClient, ModelClient
from serve_app.errors import EngineFailed, MantaError
from serve_app.evaluation.base import NEED_REFERENCE, Assessment, Metric, Sample, Score
from serve_app.evaluation.questions import MAX_BLOCK_CHARS
from serve_app.evaluation.ragas_replies import constrained, fault_of, require_choices
from serve_app.evaluation.structured import ask
from serve_app.grounding.untrusted import clean
from serve_app.messages import JsonObject, RequestContext

os.environ["RAGAS_DO_NOT_TRACK"] = "true"

from ragas.embeddings.base import BaseRagasEmbedding
from ragas.llms.base import InstructorBaseRagasLLM
from ragas.metrics import collections

ReplyT = TypeVar("ReplyT", bound=BaseModel)


class _Llm(InstructorBaseRagasLLM):  # type: ignore[misc, unused-ignore]
    """One metric's calls of the judging model, and how they went."""

    def __init__(self, name: str, client: ModelClient, context: RequestContext) -> None:
        self._name = name
        self._client = client
        self._context = context
        self.failures: list[MantaError] = []
        self.usages: list[JsonObject | None] = []
        self.replies: list[JsonObject] = []

    def generate(self, prompt: str, response_model: type[ReplyT]) -> ReplyT:
        raise NotImplementedError("a judge is asked inside an event loop")

    async def agenerate(self, prompt: str, response_model: type[ReplyT]) -> ReplyT:
        messages = [{"role": "user", "content": prompt}]
        schema = constrained(response_model.model_json_schema())
        try:
            reply = await ask(self._client, self._name, messages, schema, self._context)
        except MantaError as exc:
            self.usages.append(None)
            raise self._failed(exc) from None
        self.usages.append(reply.usage)
        try:
            found = response_model.model_validate(reply.value)
            value = found.model_dump()
            require_choices(value)
        except ValidationError as exc:
            fault = EngineFailed(f"{self._name} left out a field: {exc.errors()[0]['msg']}")
            raise self._failed(fault) from exc
        except MantaError as exc:
            raise self._failed(exc) from None
        self.replies.append(value)
        return found

    def _failed(self, error: MantaError) -> MantaError:
        self.failures.append(error)
        return error


class _Embedding(BaseRagasEmbedding):  # type: ignore[misc, unused-ignore]
    """The application's embedder."""

    def __init__(self, embedder: EmbeddingClient, context: RequestContext) -> None:
        super().__init__()
        self._embedder = embedder
        self._context = context

    def embed_text(self, text: str, **kwargs: Any) -> list[float]:
        raise NotImplementedError("a judge is asked inside an event loop")

    async def aembed_text(self, text: str, **kwargs: Any) -> list[float]:
        return (await self.aembed_texts([text]))[0]

    async def aembed_texts(self, texts: list[str], **kwargs: Any) -> list[list[float]]:
        found = await self._embedder.embed(texts, self._context, truncate=True)
        return [[float(value) for value in vector] for vector in found.vectors]


class RagasJudge:
    """A Judge over RAGAS' metrics."""

    evaluator = f"ragas {importlib.metadata.version('ragas')}"

    def __init__(self, name: str, client: ModelClient, embedder: EmbeddingClient | None) -> None:
        """Without an `embedder` answer relevancy is unknown."""
        self.name = name
        self._client = client
        self._embedder = embedder

    async def assess(self, sample: Sample, metrics: Sequence[Metric], context: RequestContext) -> Assessment:
        sample = _cleaned(sample)
        llms = [_Llm(self.name, self._client, context) for _ in metrics]
        scores = await asyncio.gather(
            *(self._score(metric, sample, llm, context) for metric, llm in zip(metrics, llms, strict=True))
        )
        if all(score.value is None for score in scores):
            reasons = "; ".join(dict.fromkeys(score.reason for score in scores))
            raise EngineFailed(f"the judge {self.name} gave no score: {reasons}")
        usages = tuple(usage for llm in llms for usage in llm.usages)
        return Assessment(self.name, dict(zip(metrics, scores, strict=True)), usages)

    async def _score(self, metric: Metric, sample: Sample, llm: _Llm, context: RequestContext) -> Score:
        try:
            result = await self._way(metric, sample, llm, context)()
        except MantaError as exc:
            return Score(None, str(exc))
        except ValueError as exc:  # how RAGAS refuses a sample that lacks a part
            return Score(None, str(exc))
        if llm.failures:
            return Score(None, str(llm.failures[0]))
        if fault := fault_of(metric, llm.replies):
            return Score(None, fault)
        value = float(result.value)
        if metric is Metric.FAITHFULNESS:
            return Score.of(value, _unsupported(llm.replies[-1]))
        if metric is Metric.ANSWER_RELEVANCY:
            # Rounding may carry a cosine over 1; one below 0 means nothing in common.
            value = min(max(value, 0.0), 1.0)
        return Score.of(value)

    def _way(
        self, metric: Metric, sample: Sample, llm: _Llm, context: RequestContext
    ) -> Callable[[], Awaitable[Any]]:
        if metric in NEED_REFERENCE and sample.reference is None:
            raise EngineFailed("there is no reference")
        asked: dict[str, Any] = {"user_input": sample.question}
        said: dict[str, Any] = {"response": sample.answer}
        found: dict[str, Any] = {"retrieved_contexts": list(sample.contexts)}
        right: dict[str, Any] = {"reference": sample.reference}
        ways: dict[Metric, Callable[[], Awaitable[Any]]] = {
            Metric.FAITHFULNESS: lambda: collections.Faithfulness(llm=llm).ascore(**asked, **said, **found),
            Metric.ANSWER_RELEVANCY: lambda: collections.AnswerRelevancy(
                llm=llm, embeddings=self._embedding(context), strictness=1
            ).ascore(**asked, **said),
            Metric.CONTEXT_RELEVANCE: lambda: collections.ContextRelevance(llm=llm, max_retries=1).ascore(
                **asked, **found
            ),
            Metric.RESPONSE_GROUNDEDNESS: lambda: collections.ResponseGroundedness(
                llm=llm, max_retries=1
            ).ascore(**said, **found),
            Metric.CONTEXT_PRECISION: lambda: collections.ContextPrecisionWithoutReference(llm=llm).ascore(
                **asked, **said, **found
            ),
            Metric.CONTEXT_RECALL: lambda: collections.ContextRecall(llm=llm).ascore(
                **asked, **found, **right
            ),
            Metric.FACTUAL_CORRECTNESS: lambda: collections.FactualCorrectness(llm=llm).ascore(
                **said, **right
            ),
        }
        return ways[metric]

    def _embedding(self, context: RequestContext) -> _Embedding:
        if self._embedder is None:
            raise EngineFailed("there is no embedder")
        return _Embedding(self._embedder, context)


def _cleaned(sample: Sample) -> Sample:
    def text(one: str) -> str:
        return clean(one, MAX_BLOCK_CHARS)

    reference = None if sample.reference is None else text(sample.reference)
    return Sample(text(sample.question), text(sample.answer), tuple(map(text, sample.contexts)), reference)


def _unsupported(verdicts: JsonObject) -> list[str]:
    """What RAGAS does not tell."""
    return [one["statement"] for one in verdicts["statements"] if not one["verdict"]]
