"""What is told of an application that does not start."""

from __future__ import annotations

import pytest

from benchmarks.application import last_words

CRASH = """manta: a replica does not start
Fatal Python error: Aborted

Current thread 0x00007f (most recent call first):
  <no Python frame>
"""


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("starting Ray\nmanta: the port is taken\n\n", "manta: the port is taken"),
        (CRASH, "manta: a replica does not start"),
        (CRASH.partition("\n")[2], "Fatal Python error"),
        ("", "it said nothing"),
    ],
)
def test_the_line_that_says_most_is_told(log: str, words: str) -> None:
    assert last_words(log) == words
