"""What may leave in an answer's text.

Numbers of passages that are not there, images, HTML that a page would load or run, and links that are
not known are taken out: a link is a way for hidden instructions to carry something away. Code is left
alone, because `args[0]` is no citation.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

_FENCE = r"```.*?(?:```|\Z)"
_FENCE_MARK = "```"
_CODE = r"`[^`\n]+`"
# Both parts may run over lines; "Great![1][2]" is two citations.
_IMAGE = r"!\[(?!\d{1,3}\])[^\]]*\](?:\([^)]*\)|\[[^\]\n]*\])"
_TAG = (
    r"</?(?:a|audio|base|body|button|embed|form|frame|iframe|image|img|input|link|math|meta|object|picture"
    r"|script|source|style|svg|track|video)\b[^>]{0,1000}>"
)
CITATION = r"[ \t]*\[\d{1,3}(?:\s*[,;]\s*\d{1,3})*\]"
_REST_OF_URL = r"[^\s<>\"'`\])]+"
# With a scheme; as browsers complete it; or what no browser should open at all.
_URL = (
    rf"(?:https?|ftp|wss?|file)://{_REST_OF_URL}|\bwww\.{_REST_OF_URL}"
    rf"|(?<=\]\()//{_REST_OF_URL}|(?<=\]: )//{_REST_OF_URL}"
    rf"|\b(?:javascript|vbscript):{_REST_OF_URL}|\bdata:[a-z]+/{_REST_OF_URL}"
)
TOKEN = re.compile(
    f"(?P<code>{_FENCE}|{_CODE})|(?P<image>{_IMAGE}|{_TAG})|(?P<citation>{CITATION})|(?P<url>{_URL})",
    re.DOTALL | re.IGNORECASE,
)
# What may still become one of these when the text grows.
_OPEN = re.compile(
    TOKEN.pattern + r"|(?P<open>`[^`\n]*\Z|!\[[^\]]*(?:\](?:\([^)]*|\[[^\]\n]*)?)?\Z"
    r"|</?(?:[a-z]+\b[^>]{0,1000})?\Z|[ \t]*\[[\d\s,;]*\Z)",
    re.DOTALL | re.IGNORECASE,
)
# Behind these a word is over: white space, and the scripts that put none between their words (Thai to Khmer, Chinese
# and Japanese with their marks).
_ENDS_WORD = re.compile(
    r"[\s\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u312f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
)
_WITHHELD_LINK = "(link removed)"


def guarded(text: str, num_sources: int, known_urls: Collection[str]) -> str:
    """The text without what may not leave."""
    return TOKEN.sub(lambda found: _clean(found, num_sources, known_urls), text)


def urls(texts: Sequence[str]) -> frozenset[str]:
    """The links that stand in these texts."""
    pattern = re.compile(_URL, re.IGNORECASE)
    return frozenset(_bare_url(found) for text in texts for found in pattern.findall(text))


def numbers(citation: str) -> list[int]:
    """Of the passages that one citation names."""
    return [int(number) for number in re.findall(r"\d+", citation)]


class GrowingText:
    """A text that comes in pieces, and what of it may leave, piece by piece: together that is `guarded(text)`.

    A piece costs what its own length is, not the text's: only the end that can still change is looked at again. Held
    back are a last word that may go on, white space, and what looks like the beginning of code, of an image or of a
    citation, until it is closed or turns out to be something else.
    """

    def __init__(self, num_sources: int, known_urls: Collection[str]) -> None:
        """As of `guarded`."""
        self._num_sources = num_sources
        self._known_urls = known_urls
        self._text = ""
        self._settled = 0  # before it nothing changes any more, and nothing that goes on behind it begins
        self._num_left = 0  # characters that have left of what is clean behind it
        self._end = 0  # of what has left, in the text as it came

    def grow(self, piece: str) -> str:
        """What may leave now and has not."""
        self._text += piece
        end = self._safe_end()
        if end <= self._end:
            return ""
        self._end = end
        clean, fence_at = self._cleaned(end)
        new = clean[self._num_left :]
        self._settled, self._num_left = (end, 0) if fence_at is None else (fence_at, end - fence_at)
        return new

    def rest(self) -> str:
        """What has not left, if the text is complete."""
        clean, _ = self._cleaned(len(self._text))
        return clean[self._num_left :]

    def _cleaned(self, end: int) -> tuple[str, int | None]:
        """The text up to there, from what is settled on; where in it a fenced block begins that is still open."""
        text, at, fence_at = self._text, self._settled, None
        parts: list[str] = []
        for token in TOKEN.finditer(text, at, end):
            parts += text[at : token.start()], _clean(token, self._num_sources, self._known_urls)
            at = token.end()
            if at == end and _is_open_fence(token.group()):
                fence_at = token.start()
        return "".join([*parts, text[at:end]]), fence_at

    def _safe_end(self) -> int:
        """Nothing that is still open begins before it."""
        text, settled = self._text, self._settled
        end = settled + len(text[settled:].rstrip())
        if end == len(text):
            end = next((at for at in range(end, settled, -1) if _ENDS_WORD.match(text[at - 1])), settled)
        for token in _OPEN.finditer(text, settled):
            # The inside of a fence is kept as it is, so that a fence may be cut; nothing else may.
            is_cut = token.start() < end < token.end() and not token.group().startswith(_FENCE_MARK)
            may_grow = token["open"] is not None or (token["url"] is not None and token.end() == len(text))
            if is_cut or may_grow:
                end = min(end, token.start())
        return settled + len(text[settled:end].rstrip())


def _clean(token: re.Match[str], num_sources: int, known_urls: Collection[str]) -> str:
    """What of a token may leave."""
    whole = token.group()
    if token["image"]:
        return ""
    if token["citation"]:
        valid = [n for n in numbers(whole) if 1 <= n <= num_sources]
        blank = whole[: len(whole) - len(whole.lstrip())]
        return blank + "".join(f"[{n}]" for n in dict.fromkeys(valid)) if valid else ""
    if token["url"]:
        return whole if _bare_url(whole) in known_urls else _WITHHELD_LINK
    return whole


def _is_open_fence(code: str) -> bool:
    """Whether it is a fenced block that goes on behind its end."""
    is_closed = len(code) >= 2 * len(_FENCE_MARK) and code.endswith(_FENCE_MARK)
    return code.startswith(_FENCE_MARK) and not is_closed


def _bare_url(url: str) -> str:
    return url.rstrip(".,;:!?*_").rstrip("/").lower()
