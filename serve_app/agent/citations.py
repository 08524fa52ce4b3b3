"""What may leave in an answer's text, and which passages it cites.

Numbers of passages that are not there, images, HTML that a page would load or run, and links that are
not known are taken out: a link is a way for hidden instructions to carry something away. Code is left
alone, because `args[0]` is no citation.

Works on a growing text: `safe_length` says up to where the result can no longer change.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from serve_app.grounding.extract import nearest_sentence
from serve_app.grounding.prompt import Source
from serve_app.grounding.sentences import sentences
from serve_app.messages import JsonObject, Passage
from serve_app.retrieval.places import place_of

_FENCE = r"```.*?(?:```|\Z)"
_CODE = r"`[^`\n]+`"
# Both parts may run over lines; "Great![1][2]" is two citations.
_IMAGE = r"!\[(?!\d{1,3}\])[^\]]*\](?:\([^)]*\)|\[[^\]\n]*\])"
_TAG = (
    r"</?(?:a|audio|base|body|button|embed|form|frame|iframe|image|img|input|link|math|meta|object|picture"
    r"|script|source|style|svg|track|video)\b[^>]{0,1000}>"
)
_CITATION = r"[ \t]*\[\d{1,3}(?:\s*[,;]\s*\d{1,3})*\]"
_REST_OF_URL = r"[^\s<>\"'`\])]+"
# With a scheme; as browsers complete it; or what no browser should open at all.
_URL = (
    rf"(?:https?|ftp|wss?|file)://{_REST_OF_URL}|\bwww\.{_REST_OF_URL}"
    rf"|(?<=\]\()//{_REST_OF_URL}|(?<=\]: )//{_REST_OF_URL}"
    rf"|\b(?:javascript|vbscript):{_REST_OF_URL}|\bdata:[a-z]+/{_REST_OF_URL}"
)
_TOKEN = re.compile(
    f"(?P<code>{_FENCE}|{_CODE})|(?P<image>{_IMAGE}|{_TAG})|(?P<citation>{_CITATION})|(?P<url>{_URL})",
    re.DOTALL | re.IGNORECASE,
)
# What may still become one of these when the text grows.
_OPEN = re.compile(
    _TOKEN.pattern + r"|(?P<open>`[^`\n]*\Z|!\[[^\]]*(?:\](?:\([^)]*|\[[^\]\n]*)?)?\Z"
    r"|</?(?:[a-z]+\b[^>]{0,1000})?\Z|[ \t]*\[[\d\s,;]*\Z)",
    re.DOTALL | re.IGNORECASE,
)
# Citations behind a sentence's end; in "It glides. [2] says so, too." the number is a part of the next one.
_BEHIND = re.compile(rf"([.!?\u3002\uff01\uff1f][\"'\u201d\u2019)*_]*)((?:{_CITATION})+)(?=\s|$)(?!\s+[a-z])")
_WITHHELD_LINK = "(link removed)"


@dataclass(frozen=True, slots=True)
class Citation:
    """A passage that an answer cites, and the words of it that are nearest to the citing sentence."""

    number: int
    quote: str | None


def guarded(text: str, num_sources: int, known_urls: Collection[str]) -> str:
    """The text without what may not leave."""

    def replaced(found: re.Match[str]) -> str:
        whole = found.group()
        if found["image"]:
            return ""
        if found["citation"]:
            valid = [n for n in _numbers(whole) if 1 <= n <= num_sources]
            blank = whole[: len(whole) - len(whole.lstrip())]
            return blank + "".join(f"[{n}]" for n in dict.fromkeys(valid)) if valid else ""
        if found["url"]:
            return whole if _bare_url(whole) in known_urls else _WITHHELD_LINK
        return whole

    return _TOKEN.sub(replaced, text)


def safe_length(text: str) -> int:
    """How much of a growing text is complete: nothing that is still open begins before it.

    Held back are a last word that may go on, white space, and what looks like the beginning of code,
    of an image or of a citation, until it is closed or turns out to be something else.
    """
    safe = len(text.rstrip())
    if safe == len(text):
        safe = next((at for at in range(safe, 0, -1) if text[at - 1].isspace()), 0)
    for token in _OPEN.finditer(text):
        # The inside of a fence is kept as it is, so that a fence may be cut; nothing else may.
        is_cut = token.start() < safe < token.end() and not token.group().startswith("```")
        if token["open"] is not None or is_cut:
            safe = min(safe, token.start())
    return len(text[:safe].rstrip())


def urls(texts: Sequence[str]) -> frozenset[str]:
    """The links that stand in these texts."""
    pattern = re.compile(_URL, re.IGNORECASE)
    return frozenset(_bare_url(found) for text in texts for found in pattern.findall(text))


def cited_numbers(text: str) -> list[int]:
    """Numbers of the passages that a guarded text cites, in the order of their first mention."""
    found = [n for token in _TOKEN.finditer(text) if token["citation"] for n in _numbers(token.group())]
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
            claims.setdefault(number, _TOKEN.sub(_uncited, sentence.text))
    return claims


def _uncited(found: re.Match[str]) -> str:
    return "" if found["citation"] else found.group()


def _numbers(citation: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", citation)]


def _bare_url(url: str) -> str:
    return url.rstrip(".,;:!?*_").rstrip("/").lower()
