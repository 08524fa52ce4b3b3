"""The bare server that everything is compared with, and the client that leaves, over real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.application import CannotStart, Started
from benchmarks.errors import BenchmarkError
from benchmarks.overhead.bars import BARS
from benchmarks.overhead.lineup import Contender, Lineup
from benchmarks.overhead.measure import Load, Subject, measure
from benchmarks.overhead.options import parse
from benchmarks.overhead.pace import MODEL, Pace
from benchmarks.overhead.run import experiment
from benchmarks.overhead.stream_client import Answer, ask
from benchmarks.overhead.ways import bare_running
from configs.schema import MockModel
from serve_app.engines.mock import MockGenerator
from serve_app.engines.text_edge import TextEdge
from serve_app.messages import Endpoint, RequestContext

PACE = Pace(ttft_ms=2.0, tpot_ms=1.0, num_tokens=8)
BODY: dict[str, Any] = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "hello"}],
    "stream": True,
    "stream_options": {"include_usage": True},
}


def keys(document: Any) -> Any:
    """The document's shape: its keys, without its values."""
    if isinstance(document, dict):
        return {key: keys(value) for key, value in document.items()}
    return [keys(item) for item in document] if isinstance(document, list) else type(document).__name__


def chunks(stream: bytes) -> list[Any]:
    events = stream.decode().strip().split("\n\n")
    assert events.pop() == "data: [DONE]"
    return [json.loads(event.removeprefix("data: ")) for event in events]


async def engines_stream(context: RequestContext) -> bytes:
    config = MockModel(name=MODEL, engine="mock", ttft_ms=0, tpot_ms=0, num_output_tokens=8)
    frames = TextEdge(MockGenerator(config)).stream(Endpoint.CHAT, BODY, context)
    return b"".join([frame async for frame in frames])


def test_the_bare_server_says_what_the_engine_says(context: RequestContext) -> None:
    with bare_running(PACE) as bare:
        answer = httpx.post(f"{bare.url}/v1/chat/completions", json=BODY, trust_env=False)
    ours = [keys(chunk) for chunk in chunks(asyncio.run(engines_stream(context)))]
    theirs = [keys(chunk) for chunk in chunks(answer.content)]
    usage = theirs[-1].pop("usage")
    assert usage.items() <= ours[-1].pop("usage").items()
    assert theirs == ours


def test_a_closed_loop_against_it_gives_every_figure(tmp_path: Path) -> None:
    with bare_running(PACE) as bare:
        subject = Subject(bare.url, MODEL, bare.process_id)
        measured = measure(subject, Load(4, 1.5, 0.5), PACE, seed=1, folder=tmp_path / "run")
    assert measured.num_failed == 0
    assert measured.requests_per_s is not None
    assert 0 < measured.requests_per_s <= PACE.ideal_rps(4) * 1.05
    assert measured.ttft_ms["p50"] is not None
    assert len(measured.raw["e2e_us"]) == len(measured.raw["ttft_us"]) > 0


def test_each_way_is_measured_beside_the_bare_server_and_one_that_does_not_start_is_named(
    tmp_path: Path,
) -> None:
    def broken() -> AbstractContextManager[Started]:
        raise CannotStart("no port is free")

    running = partial(bare_running, PACE)
    ways = Contender("same", "", MODEL, running), Contender("broken", "", MODEL, broken)
    lineup = Lineup("", MODEL, running, ways, BARS, holds_length=False)
    words = ["--callers=2", "--duration=4", "--warm-up=0.2", "--repetitions=2", "--num-tokens=8"]
    absent: list[str] = []
    records = list(experiment(lineup, parse(words), tmp_path, absent))
    assert [(one["way"], one["repetition"]) for one in records] == [
        *(("same", 0), ("bare", 0)),
        *(("bare", 1), ("same", 1)),
    ]
    assert all(one["beside"] == "same" and one["output_tokens_per_s"] > 0 for one in records)
    assert absent == [f"broken in repetition {number}: no port is free" for number in (1, 2)]


def test_a_way_that_answers_nothing_is_named_and_the_rest_is_kept(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    @contextmanager
    def mute() -> Iterator[Started]:
        yield Started(f"http://127.0.0.1:{free_port()}", os.getpid(), 0.0)

    running = partial(bare_running, PACE)
    ways = Contender("mute", "", MODEL, mute), Contender("same", "", MODEL, running)
    lineup = Lineup("", MODEL, running, ways, BARS, holds_length=False)
    words = ["--callers=1", "--duration=5", "--warm-up=0.2", "--repetitions=1", "--num-tokens=8"]
    absent: list[str] = []
    records = list(experiment(lineup, parse(words), tmp_path, absent))
    assert [one["way"] for one in records] == ["same", "bare"]
    assert len(absent) == 1
    assert absent[0].startswith("mute in repetition 1: overhead-1: nothing was answered")


def test_a_client_that_leaves_ends_its_connection() -> None:
    async def scenario(url: str) -> tuple[Answer, int]:
        async with await ask(url, BODY | {"max_tokens": 10_000}) as answer:
            await answer.piece(3, 10.0)
            left_ns = answer.leave()
            await answer.end(10.0)
        return answer, left_ns

    with bare_running(PACE) as bare:
        answer, left_ns = asyncio.run(scenario(bare.url))
    assert answer.status == 200
    assert answer.pieces_ns[2] <= left_ns <= time.perf_counter_ns()


def test_an_answer_that_ends_early_says_why(free_port: Callable[[], int]) -> None:
    async def third_of_two(url: str) -> None:
        async with await ask(url, BODY | {"max_tokens": 2}) as answer:
            await answer.piece(3, 10.0)

    with bare_running(PACE) as bare, pytest.raises(BenchmarkError, match="before its piece 3"):
        asyncio.run(third_of_two(bare.url))
    with pytest.raises(BenchmarkError, match="no connection"):
        asyncio.run(ask(f"http://127.0.0.1:{free_port()}", BODY))
