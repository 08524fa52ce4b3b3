"""Text as the knowledge base keeps it: decoded, and normalised the same way whatever the format.

Normal means NFC, `\\n` line ends, no blanks at line ends, at most one blank line in a row, and none
of the characters that cannot be seen but keep words from being found: control characters, zero-width
spaces, soft hyphens, byte order marks, direction overrides, lone surrogates. The two joiners (U+200C,
U+200D) stay, because Persian, Indic scripts and emoji are spelt with them. Compatibility forms stay
too: NFKC turns x² into x2, which a citation may not; who puts text into a prompt folds it there.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from itertools import chain

from serve_app.retrieval.documents.base import Unreadable

_INVISIBLE = dict.fromkeys(
    chain(
        (code for code in range(0x20) if chr(code) not in "\n\t"),
        range(0x7F, 0xA0),
        (0x00AD, 0x200B, 0x2060, 0xFEFF),
        range(0x202A, 0x202F),  # direction embeddings and overrides
        range(0x2066, 0x206A),  # direction isolates
        range(0xD800, 0xE000),  # surrogates: JSON escapes can make them, UTF-8 cannot carry them
    )
)
_LINE_ENDS = re.compile(r"\r\n?|[\f\v\x1c-\x1e\x85\u2028\u2029]")
_BLANK_LINE_ENDS = re.compile(r"(?<=[^ \t])[ \t]++$|^[ \t]++$", re.MULTILINE)
_BLANK_LINES = re.compile(r"\n{3,}")

# NFC sorts the marks of a letter in quadratic time. UAX #15 calls text of at most 30 in a row
# stream-safe, and no language comes near; the pattern is wider than "marks", `_bound_marks` looks.
_MAX_MARKS = 30
_ROOM_FOR_BLANKS = 10  # times the characters that are kept of a line
_MAYBE_MARKS = re.compile(r"[^\w\s\x00-\u02ff]{31,}")

# What browsers and spreadsheets declare; a name from outside never reaches the other codecs
# (punycode and idna are quadratic, unicode_escape is no encoding of text).
_DECLARABLE = re.compile(r"(iso8859|cp\d|windows|koi8|mac_|shift_jis|euc_|gb|big5|utf_|tis_620|latin)")


def decode(content: bytes, declared: str | None = None) -> str:
    """The text of bytes: by byte order mark, else UTF-8, else as declared, else Windows-1252 or Latin-1.

    The last resort reads any byte, so that an old file without a declaration is searchable; letters
    of another 8-bit encoding come out wrong then.

    Raises:
        Unreadable: the bytes hold NUL (then it is no text), or break the encoding of their own mark.
    """
    # UTF-32's little-endian mark begins with UTF-16's, so it is asked first.
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if content.startswith(mark):
            try:
                return content.decode(encoding)
            except UnicodeDecodeError as exc:
                raise Unreadable(f"it begins as {encoding} and breaks at byte {exc.start}") from exc
    if (at := content.find(b"\0")) >= 0:
        raise Unreadable(f"it is not text: it holds a NUL byte at {at}")
    for guess in filter(None, ("utf-8", _codec(declared), "cp1252")):
        try:
            return content.decode(guess)
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1")


def normal(text: str) -> str:
    """The text in the form that this module's docstring describes; `""` if nothing can be seen."""
    text = _LINE_ENDS.sub("\n", text).translate(_INVISIBLE)
    text = unicodedata.normalize("NFC", _MAYBE_MARKS.sub(_bound_marks, text))
    return _BLANK_LINES.sub("\n\n", _BLANK_LINE_ENDS.sub("", text)).strip("\n").rstrip()


def one_line(text: str, max_chars: int = 300) -> str:
    """A title or heading: normal, on one line, and cut with an ellipsis where it is a whole paragraph."""
    # A heading stands above each of its sections: one of megabytes would be read through for all of them.
    line = " ".join(normal(text[: _ROOM_FOR_BLANKS * max_chars]).split())
    return line if len(line) <= max_chars else line[: max_chars - 1].rstrip() + "…"


def _codec(declared: str | None) -> str | None:
    try:
        name = codecs.lookup(declared).name.replace("-", "_") if declared else ""
    except (LookupError, ValueError):
        return None
    return name if _DECLARABLE.match(name) else None


def _bound_marks(run: re.Match[str]) -> str:
    kept: list[str] = []
    num_marks = 0
    for char in run[0]:
        num_marks = num_marks + 1 if unicodedata.combining(char) else 0
        if num_marks <= _MAX_MARKS:
            kept.append(char)
    return "".join(kept)
