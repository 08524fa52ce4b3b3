"""Passages that follow each other in a document, as one: for a prompt, which needs no sentence twice.

Knows the document only by its passages' offsets; passages that were ingested before there were any stay
as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from serve_app.messages import Passage

MAX_CHARS = 4000  # of a joined passage: what a prompt shows of one


def joined(passages: Sequence[Passage]) -> list[Passage]:
    """The passages, neighbours of one section or page as one, in the place of the best of them.

    A joined passage has the id, the scores and the headings of its best part, the text and the offsets of
    all, and no word twice.
    """
    rank = {one.id: at for at, one in enumerate(passages)}
    runs: list[list[Passage]] = []
    for one in sorted(passages, key=lambda one: (one.document_id, one.ordinal, rank[one.id])):
        if runs and _follows(runs[-1], one):
            runs[-1].append(one)
        else:
            runs.append([one])
    made = [(min(rank[one.id] for one in run), _as_one(run, rank)) for run in runs]
    return [one for _, one in sorted(made, key=lambda pair: pair[0])]


def _follows(run: Sequence[Passage], after: Passage) -> bool:
    first, before = run[0], run[-1]
    if before.start is None or before.end is None or after.start is None or after.end is None:
        return False
    is_next = (before.document_id, before.ordinal + 1) == (after.document_id, after.ordinal)
    # A table that goes on has its header as one heading more.
    is_same_place = after.headings[: len(first.headings)] == first.headings and before.page == after.page
    fits = first.start is not None and after.end - first.start <= MAX_CHARS
    return is_next and is_same_place and fits and after.end > before.end


def _as_one(run: Sequence[Passage], rank: dict[str, int]) -> Passage:
    best = min(run, key=lambda one: rank[one.id])
    if len(run) == 1:
        return best
    text = run[0].text
    for before, after in pairwise(run):
        assert before.end is not None
        assert after.start is not None
        num_between = after.start - before.end
        # Only blanks lie between chunks: one ends a sentence or a line, more a paragraph.
        between = "\n\n" if num_between > 1 else "\n" if num_between == 1 else ""
        text += between + after.text[max(0, -num_between) :]
    first = run[0]
    return replace(
        best, text=text, headings=first.headings, ordinal=first.ordinal, start=first.start, end=run[-1].end
    )
