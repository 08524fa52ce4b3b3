"""A judge that says what it was given, for tests, demonstrations and benchmarks without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from serve_app.errors import EngineFailed
from serve_app.evaluation.base import Assessment, Metric, Sample, Score
from serve_app.messages import RequestContext


class FixtureJudge:
    """A Judge with the same scores for every answer, or with one set of scores after the other.

    After the last set it stays with that one. A metric without a score is unknown; an empty set fails.
    """

    name = "fixture"
    evaluator = "fixture"

    def __init__(self, *scores: Mapping[Metric, Score]) -> None:
        if not scores:
            raise ValueError("a fixture judge needs a set of scores")
        self._scores = scores
        self._num_asked = 0

    async def assess(self, sample: Sample, metrics: Sequence[Metric], context: RequestContext) -> Assessment:
        context.deadline.check("evaluate")
        given = self._scores[min(self._num_asked, len(self._scores) - 1)]
        self._num_asked += 1
        if not given:
            raise EngineFailed("the fixture judge has no scores for this answer")
        missing = Score(None, "the fixture has no such score")
        return Assessment(self.name, {metric: given.get(metric, missing) for metric in metrics})
