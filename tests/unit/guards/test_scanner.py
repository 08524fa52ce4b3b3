"""What is found, what is not, and that pieces make no difference."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.guards.base import Action, Category, Finding
from serve_app.guards.patterns import PERSONAL, SECRETS, topic_patterns
from serve_app.guards.scanner import Scanner, Scrubber, scrub

ALL_KINDS = [*PERSONAL, *(one.kind for one in SECRETS)]
TOPICS = {"weapons": ("build a bomb", "nerve agent", "nerve"), "rivals": ("Acme Corp.", "ACME")}
PATTERNS = [*SECRETS, *PERSONAL.values(), *topic_patterns(TOPICS)]


@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize("around", ["{}", "It is {}, I think.", "({})", "x\n{}\ny", "id:{} "])
def test_each_kind_is_found_wherever_it_stands(
    scanner_of: Callable[..., Scanner], examples: dict[str, str], found: Any, kind: str, around: str
) -> None:
    text = around.format(examples[kind])
    out, may_go = scrub(scanner_of(Action.REDACT, kind), text, found.append)
    assert may_go
    assert found.kinds() == [kind]
    assert f"[{kind.upper()}]" in out
    whole = examples[kind].strip()
    assert whole not in out
    assert whole[-6:] not in out or kind in ("assigned_secret", "url_password")


# What these ask of a number beyond its shape are ranges and no check digit.
_WITHOUT_CHECK_DIGIT = {"us_ssn", "phone", "ip_address"}


@pytest.mark.parametrize(
    "kind",
    [kind for kind, one in PERSONAL.items() if one.is_real is not None and kind not in _WITHOUT_CHECK_DIGIT],
)
def test_a_digit_that_is_wrong_makes_it_none(
    scanner_of: Callable[..., Scanner], examples: dict[str, str], found: Any, kind: str
) -> None:
    example = examples[kind]
    last = next(at for at in range(len(example) - 1, -1, -1) if example[at].isdigit())
    numbers = {example[:last] + digit + example[last + 1 :] for digit in "0123456789"} - {example}
    for number in numbers:
        scrub(scanner_of(Action.REDACT, kind), number, found.append)
    assert len(found) <= (1 if kind == "br_cpf" else 0)


@pytest.mark.parametrize(
    "text",
    [
        "Order 1234567890123456 has 12 items at 3.50 each.",
        "Version 10.2.3 of 2026-11-21, build 20261121.1",
        "The call f(x)=a@b in matrix notation, and user@localhost.",
        "ISBN 978-3-16-148410-0",
        "4111 1111 1111 1112",
        "DE89 3704 0044 0532 0130 01",
        "000-12-3456 and 666-12-3456 and 900-12-3456",
        "1+2=3 and 5 + 6 = 11; phone extension 1234",
        "He said sk-8 is a road; hf_ is a prefix; AKIA is four letters.",
        "127.0.0.1 and 999.1.1.1",
        "The password is secret, they say: choose one.",
        "https://example.com:8080/path?query=1@2",
    ],
)
def test_what_only_looks_like_it_stays(scanner_of: Callable[..., Scanner], found: Any, text: str) -> None:
    kinds = ("email", "phone", "card", "iban", "us_ssn", "ip_address", *(one.kind for one in SECRETS))
    assert scrub(scanner_of(Action.REDACT, *kinds), text, found.append) == (text, True)
    assert not found


def test_topics_are_whole_words_in_any_case(scanner_of: Callable[..., Scanner], found: Any) -> None:
    scanner = scanner_of(Action.REDACT, "weapons", "rivals")
    text = "How to BUILD  a\nbomb? Nerves are fine. ask acme corp. now"
    out, _ = scrub(scanner, text, found.append)
    assert out == "How to [WEAPONS]? Nerves are fine. ask [RIVALS] now"
    assert found.kinds() == ["weapons", "rivals"]


def test_what_blocks_ends_the_text_before_it(scanner_of: Callable[..., Scanner], found: Any) -> None:
    assert scrub(scanner_of(Action.BLOCK, "us_ssn"), "a 123-45-6789 b", found.append) == ("a ", False)
    scrubber = Scrubber(scanner_of(Action.BLOCK, "us_ssn"), found.append)
    assert scrubber.feed("a 123-45-6789 b") == "a "
    assert scrubber.feed("more") == scrubber.close() == ""


def test_what_is_flagged_stays_and_hides_nothing(examples: dict[str, str], found: Any) -> None:
    topic = topic_patterns({"mail": ("write to jo.doe@example.org",)})[0]
    scanner = Scanner([(topic, Action.FLAG), (PERSONAL["email"], Action.REDACT)])
    assert scrub(scanner, "write to jo.doe@example.org!", found.append)[0] == "write to [EMAIL]!"
    assert [one.action for one in found] == [Action.FLAG, Action.REDACT]


def test_the_strictest_wins_where_two_begin(found: Any) -> None:
    scanner = Scanner(
        [(PERSONAL["card"], Action.REDACT), (topic_patterns({"n": ("4111",)})[0], Action.BLOCK)]
    )
    assert scrub(scanner, "4111 1111 1111 1111", found.append) == ("", False)


def test_a_key_of_any_length_is_swallowed_whole(scanner_of: Callable[..., Scanner], found: Any) -> None:
    body = "MIIEpAIBAAKCAQEA" * 500
    key = "-----BEGIN " + f"PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----"
    out, _ = scrub(scanner_of(Action.REDACT, "private_key"), f"see {key} ok", found.append)
    assert out == "see [PRIVATE_KEY]-----END PRIVATE KEY----- ok"


def test_findings_hold_no_text(
    scanner_of: Callable[..., Scanner], examples: dict[str, str], found: Any
) -> None:
    scrub(scanner_of(Action.FLAG), "\n".join(examples.values()), found.append)
    assert found
    for one in found:
        assert not any(value in repr(one) for value in examples.values())
        assert one == Finding(one.kind, one.category, Action.FLAG)
    assert {one.category for one in found} == {Category.PII, Category.SECRETS}


# ---------------------------------------------------------------- gates


@pytest.mark.parametrize("one", PATTERNS, ids=lambda one: one.kind)
@given(data=st.data(), before=st.text(max_size=5), after=st.text(max_size=5))
def test_a_gate_lets_every_match_through(data: st.DataObject, one: Any, before: str, after: str) -> None:
    assert one.gate is not None
    match = data.draw(st.from_regex(one.regex.removesuffix(r"(?!\w)"), fullmatch=True))
    assert one.gate(before + match + after)
    assert not one.marks or set(one.marks) & set(match)
    assert not one.begins or match[0] in one.begins
    assert SCANNERS["redact"].may_find(before + match + after)


@pytest.mark.parametrize("one", SECRETS, ids=lambda one: one.kind)
@given(data=st.data())
def test_every_shape_of_a_secret_is_found(
    scanner_of: Callable[..., Scanner], data: st.DataObject, one: Any
) -> None:
    secret = data.draw(st.from_regex(one.regex, fullmatch=True))
    found: list[Finding] = []
    scrub(scanner_of(Action.REDACT, one.kind), f"see {secret} ok", found.append)
    assert {finding.kind for finding in found} == {one.kind}


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_examples_pass_the_gates(examples: dict[str, str], kind: str) -> None:
    (one,) = (pattern for pattern in PATTERNS if pattern.kind == kind)
    assert one.gate is not None
    assert one.gate(examples[kind])


@pytest.mark.parametrize(
    "text", ["BUILD A BOMB", "Build\u00a0a bomb", "bu\u0131ld a bomb", "\u017fecret_key"]
)
def test_gates_of_phrases_know_all_cases(text: str) -> None:
    for one in topic_patterns(TOPICS):
        if re.search(one.regex, text):
            assert one.gate is not None
            assert one.gate(text)


def test_prose_is_told_from_the_rest_without_looking_for_anything() -> None:
    scanner = SCANNERS["no topics"]
    assert not scanner.may_find("In 2026 the reef had 1.5 million visitors, or so they say; 300 were rays.")
    assert not scanner.may_find("")
    assert scanner.may_find("It is 4111 1111 1111 1111")
    assert SCANNERS["redact"].may_find("Nerves are fine.")


# ---------------------------------------------------------------- pieces

FRAGMENTS = [
    "4111 1111 1111 1111", "4111-1111-1111-1111", "4111", " ", "1", "12", ".", "-", "+44 20 7946 0958", "+1",
    "jo@ex.org", "jo", "@", "example.org", "GB82 WEST 1234 5698 7654 32", "GB82", "DE", "build a bomb", "build",
    " a ", "bomb", "nerve", " agent", "Acme Corp.", "acme", "\u017fecret_key=abcdefgh", "123-45-6789", "ab",
    "Ä", "\n", "sk-" + "x" * 25, "ey" + "J" + "h" * 20, ".hh", "passw", "ord: ", "correcthorse", "http://u:p@h",
    "://u:", "-----BEGIN ", "PRIVATE KEY-----", "AK" + "IA" + "Q" * 16, "203.0.113.7", "943 476 5919", "Z",
    "12345678Z", "x", "0",
]  # fmt: skip
SCANNERS = {
    "redact": Scanner([(one, Action.REDACT) for one in PATTERNS]),
    "flag": Scanner([(one, Action.FLAG) for one in PATTERNS]),
    "mixed": Scanner(
        [(one, (Action.FLAG, Action.REDACT, Action.BLOCK)[at % 3]) for at, one in enumerate(PATTERNS)]
    ),
    "no topics": Scanner([(one, Action.REDACT) for one in PATTERNS if one.category is not Category.TOPICS]),
}


@given(
    st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join),
    st.lists(st.integers(0, 200), max_size=12),
    st.sampled_from(sorted(SCANNERS)),
)
def test_however_it_is_cut_what_comes_out_is_the_same(text: str, cuts: list[int], name: str) -> None:
    whole_found: list[Finding] = []
    whole = scrub(SCANNERS[name], text, whole_found.append)
    found: list[Finding] = []
    scrubber, out, at = Scrubber(SCANNERS[name], found.append), "", 0
    for cut in [*sorted(cut for cut in cuts if cut < len(text)), len(text)]:
        out += scrubber.feed(text[at:cut])
        assert whole[0].startswith(out)
        at = cut
    out += scrubber.close()
    assert (out, not scrubber.is_blocked) == whole
    assert found == whole_found


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=10).map("".join))
def test_character_by_character_too(text: str) -> None:
    scrubber = Scrubber(SCANNERS["redact"], lambda _: None)
    out = "".join(scrubber.feed(char) for char in text) + scrubber.close()
    assert out == scrub(SCANNERS["redact"], text, lambda _: None)[0]


def test_prose_is_hardly_held_back() -> None:
    scrubber = Scrubber(SCANNERS["no topics"], lambda _: None)
    text = "Manta rays glide over the reef, and nobody asks them why."
    out = scrubber.feed(text)
    assert len(out) >= len(text) - 8


@given(st.text(st.sampled_from('aAzZ059 -_.:/@+=(\n"é'), max_size=60), st.integers(1, 60), st.data())
def test_all_hold_back_as_much_as_the_one_that_holds_back_most(
    text: str, times: int, data: st.DataObject
) -> None:
    chosen = data.draw(st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=6, unique_by=id))
    begun = data.draw(st.sampled_from(["", "-----BEG", "passw", "nerve"]))
    whole = text * times + begun
    each = [Scanner([(one, Action.REDACT)]).held_from(whole) for one in chosen]
    assert Scanner([(one, Action.REDACT) for one in chosen]).held_from(whole) == min(each)


def test_nothing_is_held_longer_than_the_longest_pattern() -> None:
    scanner = SCANNERS["redact"]
    longest = max(one.max_chars for one, _ in scanner.patterns)
    scrubber, num_in, num_out = Scrubber(scanner, lambda _: None), 0, 0
    for piece in ("1 2 3 4 5 6 7 " * 50, "a" * 900, "-" * 900, "x@" * 500):
        for char in piece:
            num_in += 1
            num_out += len(scrubber.feed(char))
            assert num_in - num_out <= longest


@pytest.mark.parametrize("one", PATTERNS, ids=lambda one: one.kind)
def test_patterns_keep_the_rules_that_streams_rely_on(one: Any) -> None:
    assert "(?P" not in one.regex
    assert re.compile(one.before + one.regex).groups == 0
    assert not re.search(
        r"(?<!\\)[*+](?![^\[]*\])", re.sub(r"\\.|\[[^\]]*\]", "", one.regex)
    )  # nothing unbounded
    assert one.max_chars < 600


@pytest.mark.parametrize(
    "piece",
    [
        "1", "1 ", "1-", "a", "a.", "@", "a@", "a@a.", "+1 ", "+", "4111 ", "A", "AB12 ", "-----BEGIN ", "eyJ", "sk-",
        "http://a:", "password=", "build ", "build a ", "\n", " ", "\u017f", "9.", "0.0.", "(212) ", "gh", "xoxb-1",
    ],
)  # fmt: skip
def test_a_hostile_text_takes_time_by_its_length(piece: str) -> None:
    """A quadratic pattern would need minutes for this, and for the megabyte below hours: the test would not end."""
    text = piece * (100_000 // len(piece))
    out, _ = scrub(SCANNERS["redact"], text, lambda _: None)
    assert len(out) <= 2 * len(text)


@pytest.mark.parametrize("piece", ["1", "4111 ", "a.", "A"])
def test_a_hostile_megabyte_ends(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    assert scrub(SCANNERS["redact"], text, lambda _: None)[1]
