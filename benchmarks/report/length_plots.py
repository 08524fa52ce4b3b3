"""How long prompts and answers were, in tokens: as planned, as the server counted, as the client saw."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from benchmarks.records import Outcome, Record
from benchmarks.report.chart import Chart
from benchmarks.report.marks import Bars, Colour, Mark, Steps
from benchmarks.report.markup import Html, tag
from benchmarks.report.scales import Linear, from_zero
from benchmarks.report.timeline import Floats
from benchmarks.report.wording import count

MAX_BARS = 50
_COLOURS: tuple[Colour, ...] = ("sky", "ink", "orange")

Counts = tuple[str, Sequence[int | None]]  # who counted, and what for each request


def length_figures(records: Sequence[Record]) -> list[Html]:
    """Figures of the prompts' and the answers' lengths; a sentence where all are alike."""
    answered = [record for record in records if record.outcome is Outcome.OK]
    prompts = _histogram(
        "Length of the prompts",
        ("by the server's usage", [record.num_prompt_tokens for record in records]),
        ("planned", [record.num_planned_prompt_tokens for record in records]),
    )
    answers = _histogram(
        "Length of the answers",
        ("by the server's usage", [record.num_output_tokens for record in answered]),
        ("planned", [record.num_planned_output_tokens for record in answered]),
        (
            "pieces by the client's count",
            [record.num_pieces if record.is_stream else None for record in answered],
        ),
    )
    return [figure for figure in (prompts, answers) if figure is not None]


def _histogram(title: str, *counts: Counts) -> Html | None:
    known: list[tuple[str, Colour, Floats]] = []
    for (who, values), colour in zip(counts, _COLOURS, strict=False):
        array = np.array([value for value in values if value is not None], dtype=np.float64)
        if len(array):
            known.append((who, colour, array))
    if not known:
        return None
    everything = np.concatenate([values for _, _, values in known])
    if everything.min() == everything.max():
        return _all_alike(title, int(everything[0]), known)
    edges = _edges(everything)
    marks: list[Mark] = []
    highest = 0.0
    for who, colour, lengths in known:
        heights = np.histogram(lengths, edges)[0].astype(np.float64)
        highest = max(highest, float(heights.max()))
        draw = Bars if colour == _COLOURS[0] else Steps
        marks.append(draw(f"{who}, mean {lengths.mean():,.1f}", colour, list(edges), list(heights)))
    return Chart(
        title=title,
        x=Linear(float(edges[0]), float(edges[-1])),
        y=from_zero(highest),
        x_title="tokens",
        y_unit="requests",
        marks=marks,
    ).draw()


def _all_alike(title: str, length: int, known: Sequence[tuple[str, Colour, Floats]]) -> Html:
    by = "; ".join(f"{who}, {count(len(values), 'request')}" for who, _, values in known)
    words = tag("p", tag("b", f"Always {count(length, 'token')}"), f" ({by}).", class_="alike")
    return tag("figure", tag("figcaption", tag("h3", title)), words, class_="chart")


def _edges(values: Floats) -> Floats:
    """Whole numbers of tokens, each bar as wide as the others."""
    lowest, highest = int(values.min()), int(values.max())
    width = max(1, math.ceil((highest - lowest + 1) / MAX_BARS))
    num = math.ceil((highest - lowest + 1) / width)
    return lowest + width * np.arange(num + 1, dtype=np.float64)
