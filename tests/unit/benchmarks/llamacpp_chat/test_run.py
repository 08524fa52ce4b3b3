from __future__ import annotations

import pytest

from benchmarks.llamacpp_chat import run
from benchmarks.llamacpp_chat.left_behind import Round, growth_of


def test_without_options_it_is_the_whole_comparison() -> None:
    arguments = run.parse_arguments([])
    assert len(arguments.cases) == 9
    assert arguments.subjects == ("manta", "engine", "llama-server", "llama_cpp.server", "locked")
    assert arguments.repeats == 3


def test_options_choose_cases_and_servers() -> None:
    words = ["--callers", "2", "--prompt-tokens", "32", "--output-tokens", "8", "--no-shared"]
    arguments = run.parse_arguments([*words, "--only", "engine,locked", "--model", "tiny:F16"])
    assert [case.name for case in arguments.cases] == ["2x32/8"]
    assert arguments.subjects == ("engine", "locked")
    only_shared = run.parse_arguments(["--only-shared"])
    assert [case.name for case in only_shared.cases] == ["16x1024+128/128"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "7B:Q4_0"], "--model is one of"),
        (["--only", "engine,vllm"], "no server 'vllm'"),
        (["--repeats", "0"], "above 0"),
        (["--model", "tiny:F16", "--prompt-tokens", "2000"], "needs a context of 2304 tokens"),
    ],
)
def test_what_cannot_be_run_is_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        run.parse_arguments(words)
    assert refused.value.code == 2
    assert message in capsys.readouterr().err


def test_the_results_name_no_path_of_the_machine() -> None:
    said = str(run._described(run.parse_arguments([])))
    assert "/" not in said.replace("/v1", "").replace("/128", "")


def test_who_is_first_changes() -> None:
    assert [run._in_turn(("a", "b", "c"), turn)[0] for turn in range(4)] == ["a", "b", "c", "a"]  # type: ignore[arg-type]


def test_memory_that_rises_every_round_grows_and_noise_does_not() -> None:
    assert growth_of([100.0 + number for number in range(20)]).is_flat is False  # type: ignore[union-attr]
    assert growth_of([100.0 + (number * 7) % 5 for number in range(20)]).is_flat is True  # type: ignore[union-attr]
    assert growth_of([50.0, 99.0] + [100.0] * 18).is_flat is True  # type: ignore[union-attr]
    assert growth_of([100.0, 101.0]) is None


def test_what_is_left_behind_is_named() -> None:
    nothing = {"num_requests": 0, "num_busy_slots": 0}
    assert Round({}, nothing | {"num_busy_slots": 2}, 1, 1.0).faults == ["num_busy_slots 2"]
    assert Round({}, nothing, 3, 1.0).faults == ["num_tasks 3"]
    assert Round({}, nothing, 1, 1.0).faults == []
