"""Text from documents and the web, made safe to put into a prompt.

Removes what a person who looks at the text does not see, because that is where instructions to a
model are hidden. Does not judge what the text says.
"""

from __future__ import annotations

import re
import unicodedata

# An unclosed comment hides all that follows it, as it does in a browser.
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_LINE_ENDS = re.compile("\r\n?|[\u0085\u2028\u2029\v\f]")
# Cc control, Cf format (zero-width, direction marks, tags), Co private use, Cs lone surrogates.
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Co", "Cs"})
_HIDDEN_ASCII = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_VARIATION_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")


def clean(text: str, max_chars: int) -> str:
    """The text in NFKC, without HTML comments and invisible characters, at most `max_chars` long.

    Newlines and tabs stay. A text that is cut ends at a word, followed by an ellipsis.
    """
    text = _LINE_ENDS.sub("\n", text)
    if text.isascii():
        text = _HIDDEN_ASCII.sub("", text)
    else:
        # Before the comments: full-width or zero-width characters may hide a comment's marks.
        text = _VARIATION_SELECTORS.sub("", unicodedata.normalize("NFKC", text))
        text = "".join(char for char in text if char in "\n\t" or _is_visible(char))
    return _cut(_COMMENT.sub(" ", text).strip(), max_chars)


def one_line(text: str, max_chars: int) -> str:
    """The cleaned text on one line, for titles, headings and paths."""
    return _cut(" ".join(clean(text, max_chars * 4).split()), max_chars)


def without(mark: str, text: str) -> str:
    """The text without the mark, in any case of its letters; a dash stands in, so that no new mark grows together.

    Args:
        mark: lower-case hex digits that nobody could have guessed, so that hardly any text has it.
    """
    if mark not in text.lower():  # an expression for each mark would be made for one use
        return text
    return re.sub(mark, "-", text, flags=re.IGNORECASE)


def _is_visible(char: str) -> bool:
    return " " <= char <= "~" or unicodedata.category(char) not in _HIDDEN_CATEGORIES


def _cut(text: str, max_chars: int) -> str:
    if len(text) <= max_chars:
        return text
    head = text[: max_chars - 2]
    at_word = head.rsplit(None, 1)[0] if any(char.isspace() for char in head) else head
    return f"{at_word} …"
