from __future__ import annotations

from collections.abc import Iterator

from benchmarks.compare.sides import asked_alike, notes_on
from benchmarks.run.execute import Prepared
from benchmarks.target import Target


class Words:
    """Prompts, named so that a test can tell them apart."""

    is_exact = True

    def texts(self, *_: object) -> Iterator[str]:
        return iter(())


def side(url: str, *, can_hold_length: bool = True) -> Prepared:
    return Prepared(Target(url, "model"), Words(), can_hold_length=can_hold_length)  # type: ignore[arg-type]


def test_both_sides_are_asked_with_the_same_words() -> None:
    a, b = side("http://a"), side("http://b")
    alike = asked_alike(a, b)
    assert alike["a"].prompts is alike["b"].prompts is a.prompts
    assert (alike["a"].target.url, alike["b"].target.url) == ("http://a", "http://b")


def test_a_side_that_cannot_hold_lengths_decides_for_both_and_it_is_said() -> None:
    a, b = side("http://a"), side("http://b", can_hold_length=False)
    alike = asked_alike(a, b)
    assert not alike["a"].can_hold_length
    (note,) = notes_on(a, b)
    assert note.startswith("B does not take ignore_eos and min_tokens, so A was asked without them too")


def test_the_same_server_twice_is_said() -> None:
    (note,) = notes_on(side("http://a"), side("http://a"))
    assert "false alarm" in note
