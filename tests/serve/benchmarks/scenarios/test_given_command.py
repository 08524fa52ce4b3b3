"""Commands of the user's, as real processes."""

from __future__ import annotations

import sys

import pytest

from benchmarks.scenarios.faults import FaultFailed, GivenCommand


def python(code: str) -> str:
    return f"{sys.executable} -c '{code}'"


def test_a_command_runs_without_a_shell() -> None:
    fault = GivenCommand(
        python('import sys; assert sys.argv[1:] == ["$HOME;", "a b"]') + ' "$HOME;" "a b"', 30.0
    )
    assert fault.inject().startswith("ended after ")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            python('import sys; print(1, file=sys.stderr); sys.exit("no such pod")'),
            "exit code 1: no such pod",
        ),
        (python("raise SystemExit(3)"), "exit code 3: said nothing"),
        ("no-such-command-anywhere", "No such file"),
        ("kubectl 'delete", "No closing quotation"),
    ],
)
def test_a_command_that_fails_says_why(command: str, words: str) -> None:
    with pytest.raises(FaultFailed, match=words):
        GivenCommand(command, 30.0).inject()


def test_a_command_that_does_not_end_is_ended() -> None:
    with pytest.raises(FaultFailed, match=r"not over within 0\.01 s"):
        GivenCommand(python("import time; time.sleep(60)"), 0.01).inject()
