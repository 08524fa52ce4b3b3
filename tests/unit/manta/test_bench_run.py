"""The flags of `manta bench run` over a workload file."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner

from configs.load import ProfileError, parse_workload
from configs.workload import ClosedLoop, GammaArrivals, PoissonArrivals, TraceArrivals
from manta.commands.bench.options import target_of
from manta.commands.bench.run import command, exit_code, with_flags


def flags(**given: Any) -> dict[str, Any]:
    return {parameter.name: None for parameter in command.params} | given


def test_no_flags_change_nothing() -> None:
    document = {"name": "x", "requests": [{"kind": "embeddings"}]}
    assert with_flags(document, flags()) == document


@pytest.mark.parametrize(
    ("given", "arrivals"),
    [
        ({"rate": 5.0}, PoissonArrivals(process="poisson", rate_rps=5)),
        ({"rate": 5.0, "burstiness": 0.3}, GammaArrivals(process="gamma", rate_rps=5, burstiness=0.3)),
        ({"concurrency": 4}, ClosedLoop(process="closed", concurrency=4)),
        ({"trace": "t.jsonl", "speed_up": 2.0}, TraceArrivals(process="trace", path="t.jsonl", speed_up=2)),
    ],
)
def test_arrivals(given: dict[str, Any], arrivals: object) -> None:
    assert parse_workload(with_flags({}, flags(**given))).arrivals == arrivals


def test_flags_win_over_the_file() -> None:
    document = {
        "seed": 1,
        "objectives": {"ttft_ms": 100, "e2e_ms": 1000},
        "requests": [{"kind": "chat", "prompt_tokens": 5}, {"kind": "completions"}],
    }
    made = parse_workload(with_flags(document, flags(seed=2, ttft_ms=50.0, prompt_tokens=9)))
    assert made.seed == 2
    assert (made.objectives.ttft_ms, made.objectives.e2e_ms) == (50, 1000)
    assert [getattr(request, "prompt_tokens", None) for request in made.requests] == [9, 9]


@pytest.mark.parametrize(
    ("document", "key"),
    [
        ({"requests": "chat"}, "requests"),
        ({"requests": ["chat"]}, r"requests\.0"),
        ({"objectives": 5}, "objectives"),
    ],
)
def test_what_is_no_mapping_is_left_for_the_schema(document: dict[str, Any], key: str) -> None:
    with pytest.raises(ProfileError, match=key):
        parse_workload(with_flags(document, flags(prompt_tokens=9, ttft_ms=50.0)))


def test_empty_parts_of_a_file_count_as_absent() -> None:
    document = {"objectives": None, "requests": None}
    made = parse_workload(with_flags(document, flags(ttft_ms=50.0, output_tokens=7)))
    assert made.objectives.ttft_ms == 50
    assert [request.kind for request in made.requests] == ["chat"]


def test_a_kind_replaces_the_mix() -> None:
    made = parse_workload(with_flags({"requests": [{"kind": "chat"}]}, flags(kind="embeddings")))
    assert [request.kind for request in made.requests] == ["embeddings"]


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"rate": 1.0, "concurrency": 2}, "--rate and --concurrency exclude each other"),
        ({"process": "gamma"}, "need --rate"),
    ],
)
def test_flags_that_contradict_each_other(given: dict[str, Any], fault: str) -> None:
    with pytest.raises(click.UsageError, match=fault):
        with_flags({}, flags(**given))


@pytest.mark.parametrize(
    ("is_valid", "is_passed", "code"),
    [(True, True, 0), (True, None, 0), (True, False, 1), (False, True, 3), (False, False, 3)],
)
def test_exit_codes(is_valid: bool, is_passed: bool | None, code: int) -> None:
    assert exit_code(is_valid, is_passed=is_passed) == code


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8000", "http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1", "127.0.0.1:8000/v1/"],
)
def test_addresses_with_and_without_v1(url: str) -> None:
    assert target_of(url, None, None, (), None).url == "http://127.0.0.1:8000"


def test_keys_stay_out_of_reprs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "not-to-be-seen")
    target = target_of("http://x", "m", "A_KEY", ("X-Team: a",), None)
    assert target.api_key == "not-to-be-seen"
    assert "not-to-be-seen" not in repr(target)
    assert target.headers == (("x-team", "a"),)


@pytest.mark.parametrize("header", ["no colon", ": empty", "a: b\r\nc: d"])
def test_headers_that_are_none(header: str) -> None:
    with pytest.raises(click.BadParameter):
        target_of("http://x", "m", None, (header,), None)


def test_every_verb_has_help() -> None:
    from manta.commands.bench import command as bench

    runner = CliRunner()
    listed = runner.invoke(bench, ["--help"])
    assert listed.exit_code == 0
    for name in bench.list_commands(click.Context(bench)):
        assert name in listed.output
