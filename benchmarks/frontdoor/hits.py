"""How fast an answer comes that is not computed: of the same question, and of one of the same meaning.

Each way is tried once before it is measured: a question whose answer was computed after all is kept itself, and would
then be found as the same question, whatever was to be measured.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec

from benchmarks.application import CannotStart
from benchmarks.errors import BenchmarkError
from benchmarks.frontdoor.measure import Load, measure, workload_of
from benchmarks.frontdoor.settings import PACE, TENANT, Store, with_hits
from benchmarks.frontdoor.started import Open, SharedRedis, opened
from benchmarks.schedule.bodies import BodyWriter

# One pair of tests/data/semantic_cache whose cosine is 0.99: the time is measured, and not the finding.
KEPT, ASKED = "Is the museum open at Christmas?", "At Christmas, is the museum open?"
CACHE = "x-manta-cache"
# What a request says of how it uses the cache, and how the answer begins to tell that it was found so.
WAYS: Mapping[str, tuple[tuple[tuple[str, str], ...], str]] = {
    "exact": ((), "hit"),
    "semantic": (((CACHE, "semantic"),), "semantic"),
}
_MAX_TRIES = 20  # an answer is kept just behind its end
_TIMEOUT_S = 60.0


def experiment(
    stores: Sequence[Store],
    loads: Sequence[Load],
    seed: int,
    redis: SharedRedis | None,
    folder: Path,
    absent: list[str],
) -> Iterator[dict[str, Any]]:
    """A record of each run; a store whose application does not start is named in `absent`."""
    texts = {"exact": KEPT, "semantic": ASKED}
    files = {way: _file(folder, way, text) for way, text in texts.items()}
    seeds = itertools.count(seed)
    for store in stores:
        platform = with_hits(store, {} if redis is None else redis.fresh())
        try:
            with opened(platform, folder / store, [TENANT]) as door:
                for load in loads:
                    keep(door, load)
                    for way, (headers, _) in WAYS.items():
                        try_once(door, load, way, texts[way])
                        place = folder / store / f"{load.num_callers}-{load.kind}-{way}"
                        subject = door.subject(TENANT, *headers)
                        measured = measure(
                            subject, load, PACE, next(seeds), place, files[way], is_computed=False
                        )
                        fields: dict[str, Any] = msgspec.to_builtins(measured)
                        head = {"store": store, "hit": way}
                        yield head | {"num_callers": load.num_callers, "kind": load.kind} | fields
        except CannotStart as exc:
            absent.append(f"hits, {store}: {exc}")
            print(f"did not start: {absent[-1]}", file=sys.stderr)


def keep(door: Open, load: Load) -> None:
    """Have the answer computed and kept in a way that both ways find.

    Raises:
        BenchmarkError: it is not kept.
    """
    headers, _ = WAYS["semantic"]
    for _ in range(_MAX_TRIES):
        if _ask(door, load, KEPT, headers).startswith("hit"):
            return
    raise BenchmarkError(f"an answer ({load.kind}) was not kept: asked again, it was computed again")


def try_once(door: Open, load: Load, way: str, text: str) -> None:
    """Raises BenchmarkError where the answer is not found in that way."""
    headers, expected = WAYS[way]
    told = _ask(door, load, text, headers)
    if not told.startswith(expected):
        raise BenchmarkError(f"{way}, {load.kind}: {text!r} was to be found and the answer said: {told}")


def _ask(door: Open, load: Load, text: str, headers: Iterable[tuple[str, str]]) -> str:
    """What the answer says of the cache. The request is that of the load, but for its text."""
    target = door.subject(TENANT, *headers).target
    (request,) = workload_of(load, PACE, 0, Path("given")).requests
    body = BodyWriter(request, target.model, can_hold_length=False).write([text], PACE.num_tokens)
    sent = {"content-type": "application/json", "authorization": f"Bearer {target.api_key}"} | dict(headers)
    url = f"{target.url}/v1/chat/completions"
    try:
        answer = httpx.post(url, content=body, headers=sent, timeout=_TIMEOUT_S, trust_env=False)
        answer.raise_for_status()
    except httpx.HTTPError as exc:
        raise BenchmarkError(f"a question for the cache was not answered: {exc}") from exc
    told: str = answer.headers.get(CACHE, "nothing")
    return told


def summarise(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for each run, with how many answers took as long as the model takes: no hits, or a queue."""
    names = ("store", "hit", "num_callers", "kind", "answer_ms", "whole_ms", "requests_per_s", "num_failed")
    return [
        {name: record[name] for name in names}
        | {
            "num": len(record["raw"]["answer_us"]),
            "num_computed": sum(us >= PACE.ttft_ms * 1e3 for us in record["raw"]["answer_us"]),
        }
        for record in records
    ]


def _file(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.txt"
    path.write_text(text + "\n", encoding="utf-8")
    return path
