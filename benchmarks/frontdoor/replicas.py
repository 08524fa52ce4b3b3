"""Limits and fair shares, with several replicas of the ingress on one Redis and far more load than is let through."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.frontdoor.allowance import Bucket, admitted, held_s, shares
from benchmarks.frontdoor.started import Open, SharedRedis, opened
from benchmarks.overhead.pace import Pace
from benchmarks.overhead.profile import Replicas, platform_of
from benchmarks.prompts.generated import prepare_prompts
from benchmarks.records import Outcome, Record
from benchmarks.run.execute import Prepared, RunOptions, execute
from benchmarks.target import Target
from configs.workload import ChatRequest, PoissonArrivals, Workload

FULL = "full"  # the model whose slots are always taken
FULL_PACE = Pace(ttft_ms=100.0, tpot_ms=25.0, num_tokens=16)
_PACE = Pace(ttft_ms=20.0, tpot_ms=5.0, num_tokens=32)
_PROMPT_TOKENS = 32
_TOKENS_A_REQUEST = _PROMPT_TOKENS + _PACE.num_tokens
_TIMEOUT_S = 60.0
_REQUESTS = Bucket("requests", per_min=600.0, burst=100.0)
_TOKENS = Bucket("tokens", per_min=12_000.0, burst=2_000.0)
_WARM_UP_SHARE = 0.2  # of the run with shares: until the queue is full

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dials:
    """How both experiments are made.

    Args:
        over: times what the limit lets through are offered.
        num_slots: of the engine that tenants share.
    """

    duration_s: float = 60.0
    num_ingress: int = 4
    over: float = 10.0
    requests: Bucket = _REQUESTS
    tokens: Bucket = _TOKENS
    num_slots: int = 8
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Sharer:
    """A tenant that wants more of the engine than its share.

    Args:
        num_tokens: of its answers.
        greed: times its share are asked for.
    """

    name: str
    weight: float
    num_tokens: int
    greed: float

    def rate_rps(self, num_slots: int, total_weight: float) -> float:
        """At which it asks."""
        holds_s = (FULL_PACE.ttft_ms + (self.num_tokens - 1) * FULL_PACE.tpot_ms) / 1e3
        return self.greed * num_slots * self.weight / total_weight / holds_s


# One asks for much, one weighs more, one has longer answers: none of these is to change what the others get.
SHARERS = (Sharer("greedy", 1.0, 16, 5.0), Sharer("heavy", 2.0, 16, 2.5), Sharer("long", 1.0, 32, 2.5))


def platform(dials: Dials, redis: Mapping[str, Any], audit_folder: Path) -> dict[str, Any]:
    """The application: a limit for each of two tenants, an engine that the others share."""
    base = platform_of(_PACE, Replicas(dials.num_ingress, 1))
    slots = {"max_ongoing_requests": dials.num_slots, "max_queued_requests": 64, "max_queue_wait_s": 4}
    full = {
        "name": FULL,
        "engine": "mock",
        "ttft_ms": FULL_PACE.ttft_ms,
        "tpot_ms": FULL_PACE.tpot_ms,
        "max_concurrent": dials.num_slots,
        "scaling": {"min_replicas": 1, "max_replicas": 1} | slots,
    }
    by_requests = {"requests_per_min": dials.requests.per_min, "burst_requests": int(dials.requests.burst)}
    by_tokens = {"tokens_per_min": dials.tokens.per_min, "burst_tokens": int(dials.tokens.burst)}
    door = {
        "authentication": {"keys": {"store": "redis"}},
        "redis": dict(redis),
        "tenants": [
            {"name": dials.requests.what, "limits": by_requests},
            {"name": dials.tokens.what, "limits": by_tokens},
            *({"name": one.name, "weight": one.weight} for one in SHARERS),
        ],
        "fair_shares": True,
        "audit": {"folder": str(audit_folder)},
    }
    return base | {"models": [*base["models"], full], "door": door}


@contextmanager
def running(dials: Dials, redis: SharedRedis, folder: Path) -> Iterator[Open]:
    """The application, ready; `audited` tells of it when it has ended.

    Raises:
        CannotStart: it was not ready in time, or ended before.
    """
    tenants = [dials.requests.what, dials.tokens.what, *(one.name for one in SHARERS)]
    with opened(platform(dials, redis.fresh(), folder / "audit"), folder, tenants) as application:
        yield application


def load_limits(application: Open, dials: Dials, folder: Path) -> Iterator[tuple[Row, Row]]:
    """(row, record) of each limit, one after the other."""
    for bucket in (dials.requests, dials.tokens):
        each = 1 if bucket is dials.requests else _TOKENS_A_REQUEST
        rate_rps = dials.over * bucket.per_min / 60.0 / each
        target = application.subject(bucket.what).target
        records = _run(
            target, rate_rps, _PACE.num_tokens, dials, folder / bucket.what, is_stream=False, seed=dials.seed
        )
        yield admitted(bucket, records), _raw({"limit": bucket.what}, records)


def load_engine(application: Open, dials: Dials, folder: Path) -> Iterator[tuple[Row, Row]]:
    """(row, record) of each tenant, with all of them asking at the same time."""
    total_weight = sum(one.weight for one in SHARERS)

    def make(one: Sharer) -> list[Record]:
        target = application.subject(one.name).target
        target = Target(target.url, FULL, target.api_key)
        rate_rps = one.rate_rps(dials.num_slots, total_weight)
        seed = dials.seed + SHARERS.index(one)
        return _run(target, rate_rps, one.num_tokens, dials, folder / one.name, is_stream=True, seed=seed)

    with ThreadPoolExecutor() as others:
        futures = [others.submit(make, one) for one in SHARERS[1:]]
        found = [make(SHARERS[0]), *(future.result() for future in futures)]  # the first gets Ctrl-C
    yield from _shared(dict(zip(SHARERS, found, strict=True)), dials)


def _shared(found: Mapping[Sharer, list[Record]], dials: Dials) -> Iterator[tuple[Row, Row]]:
    from_s, to_s = _WARM_UP_SHARE * dials.duration_s, dials.duration_s
    held = {
        one.name: sum(held_s(record, FULL_PACE.ttft_ms, from_s, to_s) for record in records)
        for one, records in found.items()
    }
    # How much of the engine was in use: shares of one that is not full say nothing.
    used = round(sum(held.values()) / (dials.num_slots * (to_s - from_s)), 4)
    rows = shares(held, {one.name: one.weight for one in found})
    for row, records in zip(rows, found.values(), strict=True):
        outcomes = Counter(record.outcome for record in records)
        told = {"num_offered": len(records), "num_passed": outcomes[Outcome.OK]}
        told |= {"num_refused": outcomes[Outcome.REFUSED]}
        yield row | told | {"engine_used": used}, _raw({"tenant": row["tenant"]}, records)


def audited(folder: Path) -> dict[str, Any]:
    """How many requests each replica of the ingress decided, and how many of them alone, without Redis."""
    num: Counter[str] = Counter()
    num_alone = 0
    for path in sorted((folder / "audit").glob("ingress-*.jsonl*")):
        for line in path.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            num[path.name.partition(".")[0]] += 1
            num_alone += "local_limits" in (entry.get("flags") or ())
    return {"requests_by_replica": dict(num), "num_decided_without_redis": num_alone}


def _run(
    target: Target,
    rate_rps: float,
    num_tokens: int,
    dials: Dials,
    folder: Path,
    *,
    is_stream: bool,
    seed: int,
) -> list[Record]:
    request = ChatRequest(
        kind="chat",
        prompt_tokens=_PROMPT_TOKENS,
        output_tokens=num_tokens,
        stream=is_stream,
        hold_output_length=False,
    )
    workload = Workload(
        name=f"frontdoor-{folder.name}",
        seed=seed,
        duration_s=dials.duration_s,
        warm_up_s=0.0,
        timeout_s=_TIMEOUT_S,
        arrivals=PoissonArrivals(process="poisson", rate_rps=rate_rps),
        requests=(request,),
    )
    prompts = prepare_prompts(seed, (), why="nobody needs an exact length")
    options = RunOptions(num_workers=1, keep_token_times=False)
    run = execute(workload, Prepared(target, prompts, can_hold_length=False), folder, options)
    if run.was_interrupted:
        raise KeyboardInterrupt
    if not run.records:
        raise BenchmarkError(f"{workload.name}: no request left")
    return list(run.records)


def _raw(head: Row, records: Sequence[Record]) -> Row:
    """All requests of a run in one line: when they arrived, how they ended, when they held a slot."""
    return head | {
        "intended_us": [record.intended_ns // 1000 for record in records],
        "outcome": [record.outcome.value for record in records],
        "first_token_us": [_us(record.first_token_ns) for record in records],
        "last_token_us": [_us(record.last_token_ns) for record in records],
        "num_tokens": [
            (record.num_prompt_tokens or 0) + (record.num_output_tokens or 0) for record in records
        ],
    }


def _us(at_ns: int | None) -> int | None:
    return None if at_ns is None else at_ns // 1000
