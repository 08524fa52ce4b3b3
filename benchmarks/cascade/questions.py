"""A labelled set of questions from easy to hard, made from a seed: arithmetic, whose answers need no judge.

What it says about other work than arithmetic is nothing: bring your own questions as JSON lines with `question` and
`answers`.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_ITEMS = ("apples", "stamps", "marbles", "tickets", "coins", "books")


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the answers that are right."""

    text: str
    answers: tuple[str, ...]
    difficulty: float | None = None  # 0..1 by how it was made; None: not known

    def is_right(self, answer: str) -> bool:
        """Whether the last number of the answer is the right one, or a right text stands in it."""
        numbers = _NUMBER.findall(answer.replace(",", ""))
        if numbers and all(_NUMBER.fullmatch(one) for one in self.answers):
            return float(numbers[-1]) in {float(one) for one in self.answers}
        return any(one.casefold() in answer.casefold() for one in self.answers)


def generated(num: int, seed: int = 0) -> list[Question]:
    """`num` questions of evenly growing difficulty."""
    rng = random.Random(seed)  # noqa: S311 (questions, no secrets)
    return [_question(rng, index / max(1, num - 1)) for index in range(num)]


def read_questions(path: Path) -> list[Question]:
    """Questions from JSON lines.

    Raises:
        BenchmarkError: a line is none; it is named.
    """
    questions = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            document = json.loads(line)
            questions.append(Question(document["question"], tuple(map(str, document["answers"]))))
        except (ValueError, KeyError, TypeError) as exc:
            raise BenchmarkError(f"{path}:{number}: needs question and answers: {exc}") from exc
    return questions


def _question(rng: random.Random, difficulty: float) -> Question:
    size = 10 ** (1 + 2 * difficulty)
    a, b, c = (rng.randint(2, int(size)) for _ in range(3))
    item = rng.choice(_ITEMS)
    if difficulty < 0.25:
        text, answer = f"What is {a} + {b}?", a + b
    elif difficulty < 0.5:
        text, answer = f"Ann has {a + b} {item} and gives {b} to Ben. How many has she left?", a
    elif difficulty < 0.75:
        text, answer = f"What is {a} * {b} - {c}?", a * b - c
    else:
        text = (
            f"A box holds {a} {item}. Ben buys {b} boxes, loses {c} {item} and then doubles what he has. How many "
            f"{item} has he?"
        )
        answer = 2 * (a * b - c)
    return Question(f"{text} Answer with the number alone.", (str(answer),), difficulty)
