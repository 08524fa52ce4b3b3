"""Examples for the calibration of stage A: a labelled set, searched as the agent searches.

For every question four looks at the corpus: what a search finds (answerable or not, as labelled), what
it finds among the question's best documents alone (gold), and among others drawn at random (random).
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence

from serve_app.errors import ConfigError
from serve_app.evaluation.dataset import LabelledSet, Question, Text
from serve_app.evaluation.features import measure
from serve_app.evaluation.fit import Example, Kind
from serve_app.messages import Deadline, DocumentInput, DocumentStatus, RequestContext, SearchQuery
from serve_app.retrieval.base import KnowledgeClient

NUM_RANDOM = 3  # chunks; a context of strangers
_BATCH = 64
_PATIENCE_S = 600.0  # for one batch or search, offline
_TENANT = "evaluation"

Advance = Callable[[int], object]


async def ingest(knowledge: KnowledgeClient, labelled: LabelledSet, advance: Advance) -> None:
    """Make the corpus part of the knowledge base; what is there already is not embedded again.

    Raises:
        ConfigError: a document could not be read.
    """
    for start in range(0, len(labelled.texts), _BATCH):
        batch = labelled.texts[start : start + _BATCH]
        outcomes = await knowledge.put_documents(
            labelled.name, [_document(text) for text in batch], _context()
        )
        failed = [one for one in outcomes if one.status is DocumentStatus.FAILED]
        if failed:
            raise ConfigError(f"{labelled.name}: {failed[0].path}: {failed[0].reason}")
        advance(len(batch))


async def examples(
    knowledge: KnowledgeClient, labelled: LabelledSet, k: int, seed: int, advance: Advance
) -> list[Example]:
    """The labelled set's examples; the same seed draws the same strangers."""
    chance = random.Random(seed)  # noqa: S311 (a sample, not a secret)
    ids = [text.id for text in labelled.texts]
    found = []
    for question in labelled.questions:
        looks: list[tuple[Kind, Sequence[str] | None]]
        looks = [(Kind.ANSWERABLE if question.best else Kind.UNANSWERABLE, None)]
        if question.best:
            looks.append((Kind.GOLD, question.best))
        looks.append((Kind.RANDOM, _strangers(labelled, question, ids, chance)))
        for kind, among in looks:
            found.append(await _example(knowledge, labelled.name, question, kind, among, k))
        advance(1)
    return found


def _strangers(
    labelled: LabelledSet, question: Question, ids: Sequence[str], chance: random.Random
) -> list[str]:
    num_drawn = min(len(ids), NUM_RANDOM + len(question.judged))
    others = [one for one in chance.sample(ids, num_drawn) if one not in question.judged][:NUM_RANDOM]
    if len(others) < NUM_RANDOM:
        raise ConfigError(f"{labelled.name}: too few documents to draw {NUM_RANDOM} strangers from")
    return others


async def _example(
    knowledge: KnowledgeClient,
    source: str,
    question: Question,
    kind: Kind,
    among: Sequence[str] | None,
    k: int,
) -> Example:
    filters: dict[str, str | list[str]] = {"source": source}
    if among is not None:
        filters["path"] = [_path(document_id) for document_id in among]
    wanted = NUM_RANDOM if kind is Kind.RANDOM else k
    result = await knowledge.search(SearchQuery(question.text, wanted, filters=filters), _context())
    if result.flags:
        raise ConfigError(f"question {question.id}: the search was {', '.join(result.flags)}")
    return Example(question.id, kind, measure(question.text, result.passages))


def _document(text: Text) -> DocumentInput:
    content = json.dumps({"title": text.title, "text": text.text}, ensure_ascii=False)
    return DocumentInput(_path(text.id), content.encode(), "application/json")


def _path(document_id: str) -> str:
    return f"{document_id}.json"


def _context() -> RequestContext:
    return RequestContext("evaluation", _TENANT, Deadline.after(_PATIENCE_S))
