"""How long an engine works for a client that has left, or whose time is over.

The engine, or its replica, has one slot. A first request holds it; a probe waits for it. When the first one's
client leaves, the probe's first token tells that the slot was free: with an engine that makes its first token at
once, the time from the leaving to that token is the time until the slot was free plus the probe's own way back. So
it is an upper bound, measured from outside with the client's clock alone, and true of any engine.

What the engine made after the leaving is bounded by the same time: a token a step, begun steps counted.
"""

from __future__ import annotations

import asyncio
import math
import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np

from benchmarks.errors import BenchmarkError
from benchmarks.overhead.pace import MODEL, Pace
from benchmarks.overhead.profile import AGENT, MAX_ANSWER_TOKENS
from benchmarks.overhead.stream_client import Answer, ask
from benchmarks.tables import number, table

Hop = Literal["ingress", "agent"]
End = Literal["stream closed", "request closed", "deadline"]
HOPS: tuple[Hop, ...] = ("ingress", "agent")
ENDS: tuple[End, ...] = ("stream closed", "request closed", "deadline")

STEP_MS = 5.0
BAR_MS = 100.0 + STEP_MS
# The first token at once, so that the probe waits for the slot and for nothing else.
PACE = Pace(ttft_ms=0.0, tpot_ms=STEP_MS, num_tokens=100_000)
# Whose slot -> settings of the mock: the engine's own, or the replica's, which callers wait for.
OWNERS: dict[str, dict[str, Any]] = {
    "engine": {"max_concurrent": 1, "context_tokens": 1_000_000},
    "replica": {
        "context_tokens": 1_000_000,
        "scaling": {"max_ongoing_requests": 1, "max_queued_requests": 64},
    },
}

_TIMEOUT_S = 15.0
_SETTLE_S = 0.03  # for the probe to be in the engine's queue; later only makes the bound looser
_PROMPT = [{"role": "user", "content": "hello"}]


@dataclass(frozen=True, slots=True)
class Trial:
    """One leaving.

    Args:
        free_ms: from it to the probe's first token.
    """

    hop: Hop
    end: End
    free_ms: float


async def run_trials(url: str, num: int, seed: int) -> tuple[list[Trial], list[float]]:
    """`num` leavings of each kind, in turn; and how long a probe takes whom nobody is in the way of, in ms.

    Raises:
        BenchmarkError: an answer did not come as it should: a slot was lost, for example.
    """
    rng = random.Random(seed)  # noqa: S311 (moments of leaving, no secret)
    trials, alone_ms = [], []
    for _ in range(num):
        alone_ms.append(await _alone_ms(url))
        for hop, end in product(HOPS, ENDS):
            trials.append(await _trial(url, hop, end, rng))
    return trials, alone_ms


async def _trial(url: str, hop: Hop, end: End, rng: random.Random) -> Trial:
    timeout_s = rng.uniform(0.15, 0.25)
    async with await _holder(url, hop, end, timeout_s) as holder:
        await _has_slot(holder, end)
        async with await _probe(url) as probe:
            await asyncio.sleep(_SETTLE_S)
            if probe.pieces_ns:
                raise BenchmarkError(f"{hop}, {end}: the probe was served while the slot was held")
            if end == "deadline":
                left_ns = holder.sent_ns + round(timeout_s * 1e9)
            else:
                await asyncio.sleep(rng.uniform(0.0, 2 * STEP_MS / 1e3))  # any moment of a step
                left_ns = holder.leave()
            served_ns = await probe.piece(1, _TIMEOUT_S)
            await probe.end(_TIMEOUT_S)
    return Trial(hop, end, round((served_ns - left_ns) / 1e6, 3))


async def _holder(url: str, hop: Hop, end: End, timeout_s: float) -> Answer:
    body = {"messages": _PROMPT, "model": AGENT if hop == "agent" else MODEL, "max_tokens": MAX_ANSWER_TOKENS}
    headers = {"x-request-timeout-s": f"{timeout_s:.6f}"} if end == "deadline" else {}
    return await ask(url, body | {"stream": end != "request closed"}, headers)


async def _has_slot(holder: Answer, end: End) -> None:
    if end == "request closed":
        await asyncio.sleep(2 * _SETTLE_S)  # nothing tells when it has it
        if holder.is_over:
            raise BenchmarkError(f"the answer ended at once: {holder.error or holder.status}")
    else:
        await holder.piece(2, _TIMEOUT_S)


async def _probe(url: str) -> Answer:
    return await ask(url, {"model": MODEL, "messages": _PROMPT, "stream": True, "max_tokens": 1})


async def _alone_ms(url: str) -> float:
    async with await _probe(url) as probe:
        first_ns = await probe.piece(1, _TIMEOUT_S)
        await probe.end(_TIMEOUT_S)
    return (first_ns - probe.sent_ns) / 1e6


# ---------------------------------------------------------------- figures


def summarise(trials: Sequence[Trial], alone_ms: Sequence[float]) -> dict[str, Any]:
    """For each kind of leaving: the time until the slot was free, and the tokens that were made after it."""
    groups: dict[str, list[float]] = {}
    for trial in trials:
        groups.setdefault(f"{trial.hop}, {trial.end}", []).append(trial.free_ms)
    return {
        "bar": f"p99 at most {BAR_MS:g} ms",
        "step_ms": STEP_MS,
        "probe_alone_p50_ms": round(statistics.median(alone_ms), 3),
        "kinds": {name: _figures(values) for name, values in groups.items()},
    }


def _figures(free_ms: Sequence[float]) -> dict[str, Any]:
    p50, p99 = (round(float(np.quantile(free_ms, share)), 3) for share in (0.5, 0.99))
    return {
        "num": len(free_ms),
        "free_p50_ms": p50,
        "free_p99_ms": p99,
        "free_max_ms": max(free_ms),
        "tokens_p50": tokens_within(p50),
        "tokens_p99": tokens_within(p99),
        "is_met": p99 <= BAR_MS,
    }


def tokens_within(free_ms: float) -> int:
    """Tokens that an engine can have made in that time, at most: one for each step that had begun."""
    return max(0, math.ceil(free_ms / STEP_MS))


def as_text(summary: dict[str, Any]) -> str:
    """A table, and what to know of it."""
    return (
        f"{table(_HEADINGS, list(_rows(summary)))}\n\nupper bounds: they hold the probe's way back, of the"
        f" {summary['probe_alone_p50_ms']:.1f} ms that a probe takes alone there and back"
    )


_HEADINGS = (
    "hop, end",
    "trials",
    "slot free p50 / p99 / max, ms",
    "tokens after it p50 / p99",
    "bar",
    "verdict",
)


def _rows(summary: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, one in summary["kinds"].items():
        times = " / ".join(number(one[f"free_{part}_ms"], ".1f") for part in ("p50", "p99", "max"))
        tokens = f"<= {one['tokens_p50']} / {one['tokens_p99']}"
        yield name, str(one["num"]), times, tokens, summary["bar"], "met" if one["is_met"] else "NOT met"
