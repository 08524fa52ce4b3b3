"""What `manta bench compare` refuses before it asks anybody anything, and what it does with folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.compare.sides import Before
from benchmarks.errors import BenchmarkError
from manta.commands.bench.compare import command

A, B = "http://127.0.0.1:1", "http://127.0.0.1:2"


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ([A, B, "--pairs", "7"], "7 pairs can never show a difference at alpha 0.01"),
        ([A, B, "--before-a", "'"], "is no command"),
        ([A, B, "--before-b", " "], "at least one word"),
    ],
)
def test_what_can_show_nothing_is_refused(words: list[str], fault: str) -> None:
    done = CliRunner().invoke(command, words)
    assert isinstance(done.exception, BenchmarkError)
    assert fault in str(done.exception)


def test_a_server_and_a_folder_cannot_be_compared(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, [A, str(tmp_path)])
    assert done.exit_code == 2
    assert "two servers or two folders" in done.output


def test_a_figure_that_does_not_exist_is_refused() -> None:
    done = CliRunner().invoke(command, [A, B, "--primary", "ttft_p42"])
    assert done.exit_code == 2
    assert "ttft_p50" in done.output


def test_folders_without_runs_are_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, [str(tmp_path), str(tmp_path)])
    assert isinstance(done.exception, BenchmarkError)
    assert "holds no run" in str(done.exception)


def test_words_are_split_as_a_shell_would_and_no_shell_runs_them() -> None:
    assert Before.parse("kubectl set image 'a b' $HOME").words == ("kubectl", "set", "image", "a b", "$HOME")


def test_flags_of_a_measurement_mean_nothing_with_folders(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, [str(tmp_path), str(tmp_path), "--pairs", "12"])
    assert done.exit_code == 2
    assert "--pairs has no meaning with folders" in done.output
