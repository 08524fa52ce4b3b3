"""Which passages an answer's text cites, and by which of their words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from serve_app.agent.leaving import CITATION, TOKEN, numbers
from serve_app.grounding.extract import nearest_sentence
from serve_app.grounding.prompt import Source
from serve_app.grounding.sentences import sentences
from serve_app.messages import JsonObject, Passage
from serve_app.retrieval.places import place_of

# Citations behind a sentence's end; in "It glides. [2] says so, too." the number is a part of the next one.
_BEHIND = re.compile(rf"([.!?\u3002\uff01\uff1f][\"'\u201d\u2019)*_]*)((?:{CITATION})+)(?=\s|$)(?!\s+[a-z])")


@dataclass(frozen=True, slots=True)
class Citation:
    """A passage that an answer cites, and the words of it that are nearest to the citing sentence."""

    number: int
    quote: str | None


def cited_numbers(text: str) -> list[int]:
    """Numbers of the passages that a guarded text cites, in the order of their first mention."""
    found = [n for token in TOKEN.finditer(text) if token["citation"] for n in numbers(token.group())]
    return list(dict.fromkeys(found))


def citations(text: str, sources: Sequence[Source]) -> list[Citation]:
    """Each cited passage once, with the sentence of it that is nearest to the sentence that cites it."""
    by_number = {source.number: source for source in sources}
    claims = _claims(text)
    return [
        Citation(number, nearest_sentence(claims.get(number, text), by_number[number]))
        for number in cited_numbers(text)
        if number in by_number
    ]


def shown(citation: Citation, passage: Passage) -> JsonObject:
    """A citation as clients get it; the place in the document where it is known."""
    place = {"uri": place_of(passage), "start": passage.start, "end": passage.end}
    return {
        **{name: value for name, value in place.items() if value is not None},
        "n": citation.number,
        "passage_id": passage.id,
        "document_id": passage.document_id,
        "source": passage.source,
        "path": passage.path,
        "title": passage.title,
        "headings": list(passage.headings),
        "page": passage.page,
        "quote": citation.quote,
    }


def _claims(text: str) -> dict[int, str]:
    """Cited number -> the first sentence that cites it, be it inside of it or behind: "It glides. [1] It feeds.[2]"."""
    claims: dict[int, str] = {}
    # Bold marks hide a sentence's end.
    for sentence in sentences(_BEHIND.sub(r"\2\1", text.replace("**", ""))):
        for number in cited_numbers(sentence.text):
            claims.setdefault(number, TOKEN.sub(_uncited, sentence.text))
    return claims


def _uncited(found: re.Match[str]) -> str:
    return "" if found["citation"] else found.group()
