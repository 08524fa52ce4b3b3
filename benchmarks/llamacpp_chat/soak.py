"""`python -m benchmarks llamacpp-chat soak`: whether the engine leaves anything behind, straight on the engine.

Thousands of short requests, many of which leave while they wait, while their prompt is read or while they are written,
run out of time or are refused. After each round nothing may be left of them: no slot, no task, no text beyond those
that are kept; and over the rounds memory must not grow.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import sys
import tempfile
from collections import Counter
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from benchmarks import results_folder
from benchmarks.errors import BenchmarkError
from benchmarks.gguf_models.random_llama import named_model
from benchmarks.llamacpp_chat.cases import Case
from benchmarks.llamacpp_chat.engine import Engine, Refused
from benchmarks.llamacpp_chat.left_behind import Round, growth_of
from benchmarks.llamacpp_chat.settings import MODEL, Settings, engine_config

_TIMEOUT_S = 120.0
_CONTEXT_TOKENS = 256
_MAX_PROMPT_WORDS = 120
_MAX_OUTPUT_TOKENS = 32
_PREFIX_CACHE_BYTES = 200_000  # some ten texts of the model below
_MODEL = "tiny:F16"


async def soak_round(engine: Engine, num_requests: int, num_callers: int, rng: random.Random) -> Round:
    """Ask, leave, and look at what is left.

    Args:
        engine: nobody else uses it.
        num_requests: of all callers together.
        num_callers: at once.
        rng: of what is asked and who leaves when.
    """
    numbers = iter(range(num_requests))
    outcomes: Counter[str] = Counter()

    async def caller() -> None:
        for number in numbers:
            outcomes[await _request(engine, str(number), rng)] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(num_callers):
            group.create_task(caller())
    await _settle(engine)
    gc.collect()
    rss_mib = psutil.Process().memory_info().rss / 2**20
    return Round(dict(outcomes), engine.held(), len(asyncio.all_tasks()), round(rss_mib, 2))


async def _settle(engine: Engine) -> None:
    """One last request: the engine has then seen that all before it are over."""
    async with aclosing(engine.stream(_body("w1", 1), "last", _TIMEOUT_S)) as frames:
        async for _ in frames:
            pass
    for _ in range(200):  # its thread takes finished requests out a moment after their last word
        if not any(engine.held().values()):
            return
        await asyncio.sleep(0.01)


async def _request(engine: Engine, request_id: str, rng: random.Random) -> str:
    """Ask for a text, and perhaps leave before its end; returns how it ended."""
    body = _random_body(rng)
    kind = rng.random()
    if kind < 0.2:
        return await _cancelled(engine, body, request_id, rng.expovariate(1 / 0.01))
    timeout_s = rng.uniform(0.0, 0.02) if kind > 0.9 else _TIMEOUT_S
    max_frames = rng.randrange(4) if kind < 0.4 else None
    try:
        return await _read(engine, body, request_id, timeout_s, max_frames)
    except Refused as exc:
        return f"refused: {type(exc).__name__}"


async def _read(
    engine: Engine, body: dict[str, Any], request_id: str, timeout_s: float, max_frames: int | None
) -> str:
    num = 0
    async with aclosing(engine.stream(body, request_id, timeout_s)) as frames:
        async for frame in frames:
            if num == max_frames:
                return "left"
            num += 1
            if frame.endswith(b"[DONE]\n\n"):
                return "answered"
    raise BenchmarkError(f"request {request_id} ended without an end")


async def _cancelled(engine: Engine, body: dict[str, Any], request_id: str, after_s: float) -> str:
    task = asyncio.create_task(_read(engine, body, request_id, _TIMEOUT_S, None))
    await asyncio.wait({task}, timeout=after_s)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return "cancelled"
    except Refused as exc:
        return f"refused: {type(exc).__name__}"
    return "answered"


def _random_body(rng: random.Random) -> dict[str, Any]:
    """Prompts of which a third begin alike, some too long; greedy and drawn, with and without stop strings."""
    num_words = rng.randint(1, _MAX_PROMPT_WORDS)
    words = [f"w{rng.randrange(700)}" for _ in range(num_words)]
    if rng.random() < 0.33:
        words = [f"w{index}" for index in range(rng.randint(1, 64))] + words
    if rng.random() < 0.02:
        words *= _CONTEXT_TOKENS
    body = _body(" ".join(words), rng.randint(1, _MAX_OUTPUT_TOKENS))
    if rng.random() < 0.5:
        body |= {"temperature": 0.8, "top_k": 40, "seed": rng.randrange(2**31)}
    if rng.random() < 0.2:
        body["stop"] = [f"w{rng.randrange(10)}"]
    return body


def _body(prompt: str, num_tokens: int) -> dict[str, Any]:
    return {
        "model": MODEL,
        "prompt": prompt,
        "max_tokens": num_tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
    }


def open_soaked(gguf: Path, num_sequences: int) -> Engine:
    """An engine that keeps little of earlier texts, so that they are kept, put back and given up all the time."""
    case = Case(num_sequences, _CONTEXT_TOKENS // 2, _CONTEXT_TOKENS // 4, num_requests=1)
    config = engine_config(Settings(gguf, num_threads=1), case)
    return Engine(config | {"context_tokens": _CONTEXT_TOKENS, "prefix_cache_bytes": _PREFIX_CACHE_BYTES})


# ---------------------------------------------------------------- command


def main() -> None:
    """Soak, print, keep the results; exit code 1 if something was left behind."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="llamacpp-soak-") as folder:
        gguf = named_model(Path(folder), _MODEL)
        rounds = asyncio.run(_soak(gguf, arguments))
    growth = growth_of([one.rss_mib for one in rounds])
    faults = [f"round {number}: {fault}" for number, one in enumerate(rounds, 1) for fault in one.faults]
    if growth is not None and not growth.is_flat:
        faults.append(f"memory grew by {growth.growth_mib} MiB")
    summary = {
        "num_requests": sum(sum(one.outcomes.values()) for one in rounds),
        "outcomes": dict(sum((Counter(one.outcomes) for one in rounds), Counter())),
        "growth": asdict(growth) if growth else None,
        "faults": faults,
    }
    print(summary)
    if not arguments.no_results:
        target = results_folder.new_folder(arguments.out, "llamacpp-chat-soak")
        said = {name: value for name, value in vars(arguments).items() if name != "out"}
        results_folder.fill(target, said | {"model": _MODEL}, summary, [asdict(one) for one in rounds])
        print(f"raw records: {target}")
    sys.exit(1 if faults else 0)


async def _soak(gguf: Path, arguments: argparse.Namespace) -> list[Round]:
    engine = open_soaked(gguf, arguments.sequences)
    rng = random.Random(arguments.seed)  # noqa: S311 (load, no secret)
    rounds = []
    try:
        for number in range(arguments.rounds):
            num = arguments.requests // arguments.rounds
            rounds.append(await soak_round(engine, num, arguments.callers, rng))
            print(
                f"{number + 1}: {rounds[-1].rss_mib:.1f} MiB, {rounds[-1].faults or 'nothing left'}",
                flush=True,
            )
    finally:
        await engine.close()
    return rounds


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=10_000, help="of all rounds (%(default)s)")
    parser.add_argument("--rounds", type=int, default=20, help="looks at what is left (%(default)s)")
    parser.add_argument("--callers", type=int, default=24, help="at once (%(default)s)")
    parser.add_argument("--sequences", type=int, default=8, help="of the engine (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="parent of the results")
    parser.add_argument("--no-results", action="store_true", help="only print")
    arguments = parser.parse_args()
    if min(arguments.requests, arguments.rounds, arguments.callers, arguments.sequences) < 1:
        parser.error("counts are above 0")
    return arguments
