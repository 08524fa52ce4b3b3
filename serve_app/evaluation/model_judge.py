"""The built-in judge: RAGAS' metrics over any served chat model, and an embedder for answer relevancy.

The definitions are RAGAS', the prompts our own, and every reply is constrained by a schema. A reply that
does not fit (too few verdicts, a rating of 7) makes its metric unknown, and no other one.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence

from serve_app.engines.base import EmbeddingClient, ModelClient
from serve_app.errors import EngineFailed, MantaError
from serve_app.evaluation import formulas, questions
from serve_app.evaluation.base import Assessment, Metric, Sample, Score
from serve_app.evaluation.questions import Inquiry
from serve_app.evaluation.structured import ask
from serve_app.messages import JsonObject, RequestContext

_NONCE_BYTES = 8


class ModelJudge:
    """A Judge over a chat model."""

    evaluator = "builtin"

    def __init__(
        self,
        name: str,
        client: ModelClient,
        embedder: EmbeddingClient | None,
        make_nonce: Callable[[], str] = lambda: secrets.token_hex(_NONCE_BYTES),
    ) -> None:
        """Without an `embedder` answer relevancy is unknown."""
        self.name = name
        self._client = client
        self._embedder = embedder
        self._make_nonce = make_nonce

    async def assess(self, sample: Sample, metrics: Sequence[Metric], context: RequestContext) -> Assessment:
        inquest = _Inquest(self.name, self._client, self._embedder, sample, context, self._make_nonce())
        scores = await asyncio.gather(*(inquest.score(metric) for metric in metrics))
        by_metric = dict(zip(metrics, scores, strict=True))
        if all(score.value is None for score in scores):
            reasons = "; ".join(dict.fromkeys(score.reason for score in scores))
            raise EngineFailed(f"the judge {self.name} gave no score: {reasons}")
        return Assessment(self.name, by_metric, tuple(inquest.usages))


class _Inquest:
    """The judging of one answer."""

    def __init__(
        self,
        name: str,
        client: ModelClient,
        embedder: EmbeddingClient | None,
        sample: Sample,
        context: RequestContext,
        mark: str,
    ) -> None:
        self._name = name
        self._client = client
        self._embedder = embedder
        self._sample = sample
        self._context = context
        self._mark = mark
        self._passages = "\n\n".join(sample.contexts)
        self.usages: list[JsonObject | None] = []

    async def score(self, metric: Metric) -> Score:
        """The metric's score; unknown, with the reason, if a reply is missing or does not fit."""
        ways: dict[Metric, Callable[[], Awaitable[Score]]] = {
            Metric.FAITHFULNESS: self._faithfulness,
            Metric.ANSWER_RELEVANCY: self._answer_relevancy,
            Metric.CONTEXT_RELEVANCE: self._context_relevance,
            Metric.RESPONSE_GROUNDEDNESS: self._response_groundedness,
            Metric.CONTEXT_PRECISION: self._context_precision,
            Metric.CONTEXT_RECALL: self._context_recall,
            Metric.FACTUAL_CORRECTNESS: self._factual_correctness,
        }
        try:
            return await ways[metric]()
        except MantaError as exc:
            return Score(None, str(exc))

    # ------------------------------------------------------------ metrics

    async def _faithfulness(self) -> Score:
        statements = await self._statements(self._sample.answer)
        verdicts = await self._supported(statements, self._passages)
        unsupported = [one for one, holds in zip(statements, verdicts, strict=True) if not holds]
        return _score(formulas.supported_share(verdicts), "the answer claims nothing", unsupported)

    async def _answer_relevancy(self) -> Score:
        if self._embedder is None:
            return Score(None, "there is no embedder")
        reply = await self._ask(questions.GUESS, {"answer": self._sample.answer})
        guess, is_noncommittal = reply.get("question"), reply.get("is_noncommittal")
        if not isinstance(guess, str) or not guess.strip() or not isinstance(is_noncommittal, bool):
            raise EngineFailed("the judge guessed no question")
        texts = [self._sample.question, guess]
        vectors = (await self._embedder.embed(texts, self._context, truncate=True)).vectors
        return Score.of(formulas.answer_relevancy(vectors[0], vectors[1:], is_noncommittal=is_noncommittal))

    async def _context_relevance(self) -> Score:
        material = {"question": self._sample.question, "context": self._passages}
        ratings = [await self._rating(inquiry, material) for inquiry in questions.RELEVANT]
        return _score(formulas.mean_rating(ratings), "a rating is none of 0, 1, 2")

    async def _response_groundedness(self) -> Score:
        material = {"answer": self._sample.answer, "context": self._passages}
        ratings = [await self._rating(inquiry, material) for inquiry in questions.GROUNDED]
        return _score(formulas.mean_rating(ratings), "a rating is none of 0, 1, 2")

    async def _context_precision(self) -> Score:
        verdicts = []
        for passage in self._sample.contexts:
            material = {
                "question": self._sample.question,
                "answer": self._sample.answer,
                "context": passage,
            }
            verdicts.append(_flag((await self._ask(questions.USEFUL, material)).get("verdict")))
        return _score(formulas.average_precision(verdicts), "there are no passages")

    async def _context_recall(self) -> Score:
        statements = await self._statements(self._reference())
        verdicts = await self._supported(statements, self._passages)
        return _score(formulas.supported_share(verdicts), "the reference claims nothing")

    async def _factual_correctness(self) -> Score:
        answer, reference = self._sample.answer, self._reference()
        own, wanted = await self._statements(answer), await self._statements(reference)
        forth = await self._supported(own, reference)
        back = await self._supported(wanted, answer)
        return _score(formulas.f1(forth, back), "the answer or the reference claims nothing")

    # ------------------------------------------------------------ steps

    async def _statements(self, text: str) -> list[str]:
        reply = await self._ask(questions.STATEMENTS, {"question": self._sample.question, "text": text})
        found = reply.get("statements")
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise EngineFailed("the judge listed no statements")
        return [one for one in found if one.strip()][: questions.MAX_STATEMENTS]

    async def _supported(self, statements: Sequence[str], context: str) -> list[bool]:
        """One verdict a statement."""
        if not statements:
            return []
        material = {"context": context, "statements": questions.numbered(statements)}
        verdicts = (await self._ask(questions.SUPPORTED, material)).get("verdicts")
        if not isinstance(verdicts, list) or len(verdicts) != len(statements):
            raise EngineFailed(f"the judge gave no verdict on each of {len(statements)} statements")
        return [_flag(one) for one in verdicts]

    async def _rating(self, inquiry: Inquiry, material: dict[str, str]) -> int:
        rating = (await self._ask(inquiry, material)).get("rating")
        if not isinstance(rating, int) or isinstance(rating, bool):
            raise EngineFailed("the judge gave no rating")
        return rating

    async def _ask(self, inquiry: Inquiry, material: dict[str, str]) -> JsonObject:
        said = questions.messages(inquiry, material, self._mark)
        try:
            reply = await ask(self._client, self._name, said, inquiry.schema, self._context)
        except MantaError:
            self.usages.append(None)
            raise
        self.usages.append(reply.usage)
        return reply.value

    def _reference(self) -> str:
        if self._sample.reference is None:
            raise EngineFailed("there is no reference")
        return self._sample.reference


def _score(value: float | None, if_none: str, unsupported: Sequence[str] = ()) -> Score:
    return Score(None, if_none) if value is None else Score.of(value, unsupported)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise EngineFailed(f"the judge's verdict is neither true nor false: {str(value)[:50]}")
    return value
