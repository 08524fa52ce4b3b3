from __future__ import annotations

import codecs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.retrieval.documents.base import Unreadable
from serve_app.retrieval.documents.plain_text import decode, normal, one_line

_PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"  # "I want", spelt with a joiner


@pytest.mark.parametrize(
    "content",
    [
        "ключ €".encode(),
        codecs.BOM_UTF8 + "ключ €".encode(),
        "ключ €".encode("utf-16"),
        codecs.BOM_UTF16_BE + "ключ €".encode("utf-16-be"),
        "ключ €".encode("utf-32"),
    ],
)
def test_unicode_is_known_by_its_mark_or_by_itself(content):
    assert normal(decode(content)) == "ключ €"


def test_old_encodings_are_the_last_resort():
    assert decode(b"na\xefve \x93quoted\x94") == "naïve “quoted”"
    assert decode(b"\x81 \xe9") == "\x81 é"  # no Windows-1252 either


def test_a_declared_encoding_counts_only_where_it_is_one():
    assert decode("манта".encode("cp1251"), "windows-1251") == "манта"
    for declared in ("punycode", "unicode_escape", "zip", "no-such", "a\0b"):
        assert decode(b"caf\xe9", declared) == "café"


def test_nul_means_it_is_no_text():
    with pytest.raises(Unreadable, match="NUL byte at 3"):
        decode(b"abc\0def")
    with pytest.raises(Unreadable, match="begins as utf-16"):
        decode(codecs.BOM_UTF16_LE + b"abc")


def test_invisible_characters_go_and_spelling_ones_stay():
    assert normal("a\u200bb\u00adc\ufeff\x07d\u202ee\ud800") == "abcde"
    assert normal(_PERSIAN) == _PERSIAN
    assert normal("x² ﬁ") == "x² ﬁ"
    assert normal("cafe\u0301") == "café"


def test_lines_are_evened():
    assert normal("  a \r\nb\t\r\r\n\n\n\fc\u2028d\n\n ") == "  a\nb\n\nc\nd"


def test_a_letter_keeps_thirty_marks():
    assert len(normal("a" + "\u0301\u0316" * 500)) <= 31
    assert normal("─" * 100) == "─" * 100


def test_a_heading_is_one_short_line():
    assert one_line(" a\n b\t c ") == "a b c"
    assert one_line("x" * 500, 10) == "x" * 9 + "…"


@settings(deadline=None)
@given(st.text())
def test_normal_text_is_normal_and_can_be_stored(text):
    once = normal(text)
    assert normal(once) == once
    assert once.encode().decode() == once
    assert "\n\n\n" not in once
