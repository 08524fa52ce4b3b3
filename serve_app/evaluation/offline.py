"""An evaluation run: a judge over a file of answers, and what comes of it. No server is asked.

The file has a JSON object a line: {question, answer, contexts: [text], reference?, id?}.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from serve_app.errors import ConfigError, MantaError
from serve_app.evaluation.base import NEED_REFERENCE, Assessment, Judge, Metric, Sample, Score
from serve_app.messages import Deadline, JsonObject, RequestContext

_TENANT = "evaluation"


@dataclass(frozen=True, slots=True)
class Case:
    """A line of the file."""

    id: str
    sample: Sample


@dataclass(frozen=True, slots=True)
class Judged:
    """A case and its scores; all unknown if the judge failed on it."""

    case: Case
    scores: Mapping[Metric, Score]

    def record(self) -> JsonObject:
        return {
            "id": self.case.id,
            "question": self.case.sample.question,
            "answer": self.case.sample.answer,
            "scores": {str(metric): score.value for metric, score in self.scores.items()},
            "unknown": {
                str(metric): score.reason for metric, score in self.scores.items() if score.value is None
            },
            "unsupported": [claim for score in self.scores.values() for claim in score.unsupported],
        }


def read(path: Path, metrics: Sequence[Metric]) -> list[Case]:
    """The file's cases.

    Raises:
        ConfigError: it cannot be read, a line is broken, or a metric needs a reference that a line lacks.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: {getattr(exc, 'strerror', None) or exc}") from exc
    cases = [_case(f"{path}:{n}", n, line, metrics) for n, line in enumerate(lines, start=1) if line.strip()]
    if not cases:
        raise ConfigError(f"{path}: no cases")
    return cases


async def judge_all(
    judge: Judge,
    cases: Sequence[Case],
    metrics: Sequence[Metric],
    *,
    num_parallel: int,
    timeout_s: float,
    advance: Callable[[], object] = lambda: None,
) -> list[Judged]:
    """Every case's scores, in the order of the cases."""
    places = asyncio.Semaphore(num_parallel)

    async def one(case: Case) -> Judged:
        async with places:
            context = RequestContext(f"evaluation-{case.id}", _TENANT, Deadline.after(timeout_s))
            judged = Judged(case, (await _assessed(judge, case.sample, metrics, context)).scores)
        advance()
        return judged

    return list(await asyncio.gather(*(one(case) for case in cases)))


def summarise(
    judged: Sequence[Judged],
    judge: str,
    evaluator: str,
    thresholds: Mapping[Metric, float],
    max_unknown: float,
) -> JsonObject:
    """Means of what is known, how much is not, and which thresholds are met; by which model, and whose prompts.

    A metric of which more than `max_unknown` (0..1) is unknown is not met, whatever the rest says.
    """
    metrics: JsonObject = {}
    for metric in judged[0].scores:
        values = [score for one in judged if (score := one.scores[metric].value) is not None]
        unknown = 1.0 - len(values) / len(judged)
        figures: JsonObject = {"num_known": len(values), "share_unknown": round(unknown, 4)}
        if values:
            figures |= {"mean": round(sum(values) / len(values), 4), "min": min(values)}
        if metric in thresholds:
            is_met = bool(values) and figures["mean"] >= thresholds[metric] and unknown <= max_unknown
            figures |= {"threshold": thresholds[metric], "is_met": is_met}
        metrics[str(metric)] = figures
    passed = all(figures.get("is_met", True) for figures in metrics.values())
    return {
        "judge": judge,
        "evaluator": evaluator,
        "num_cases": len(judged),
        "max_unknown": max_unknown,
        "metrics": metrics,
        "passed": passed,
    }


async def _assessed(
    judge: Judge, sample: Sample, metrics: Sequence[Metric], context: RequestContext
) -> Assessment:
    try:
        async with asyncio.timeout(context.deadline.remaining_s()):
            return await judge.assess(sample, metrics, context)
    except TimeoutError:
        reason = "the judge did not answer in time"
    except MantaError as exc:
        reason = str(exc)
    return Assessment(judge.name, {metric: Score(None, reason) for metric in metrics})


def _case(place: str, number: int, line: str, metrics: Sequence[Metric]) -> Case:
    try:
        found = json.loads(line)
    except ValueError as exc:
        raise ConfigError(f"{place}: no JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise ConfigError(f"{place}: no JSON object")
    for field, wanted in (("question", str), ("answer", str), ("contexts", list)):
        if not isinstance(found.get(field), wanted):
            raise ConfigError(f"{place}: needs {field}, a {'list of texts' if wanted is list else 'text'}")
    if not all(isinstance(text, str) for text in found["contexts"]):
        raise ConfigError(f"{place}: needs contexts, a list of texts")
    reference = found.get("reference")
    if not isinstance(reference, str | None):
        raise ConfigError(f"{place}: reference is no text")
    lacking = [str(metric) for metric in metrics if metric in NEED_REFERENCE and reference is None]
    if lacking:
        raise ConfigError(f"{place}: needs a reference for {', '.join(lacking)}")
    sample = Sample(found["question"], found["answer"], tuple(found["contexts"]), reference)
    return Case(str(found.get("id", number)), sample)
