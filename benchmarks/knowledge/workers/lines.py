"""What every worker shares: commands as lines of JSON, an answer to each; and how queries are timed.

{"load": {"num": 10000, "seed": 0}}                                -> {"seconds": s}
{"resync": {}}                                                     -> {"seconds": s}, or null
{"run": {"case": "hybrid", "num_callers": 32, "seconds": 5}}        -> {"times_ms": [...], "seconds": s}
{"answers": {"case": "knn"}}                                       -> {"ids": [[...], ...]}
{"facts": {}}                                                      -> {"resident_mb": m, "disk_mb": d}
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol

import psutil

from benchmarks.knowledge.corpus import Corpus, make


class Subject(Protocol):
    """What a worker wraps."""

    async def load(self, corpus: Corpus) -> None:
        """Write every passage, and have the index ready."""
        ...

    async def ask(self, case: str, question: str, vector: Any) -> list[int]:
        """The passages' numbers, best first. Cases: knn, filtered, hybrid."""
        ...

    async def resync(self) -> float | None:
        """Seconds to find out that nothing changed; None: it knows no such thing."""
        ...

    async def disk_bytes(self) -> int: ...

    async def close(self) -> None: ...


class Worker:
    """Answers commands."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._corpus: Corpus | None = None

    async def answer(self, name: str, value: Mapping[str, Any]) -> dict[str, Any]:
        if name == "load":
            self._corpus = make(value["num"], value["seed"])
            began_s = time.perf_counter()
            await self._subject.load(self._corpus)
            return {"seconds": time.perf_counter() - began_s}
        if name == "resync":
            return {"seconds": await self._subject.resync()}
        if name == "run":
            return await self._run(value["case"], value["num_callers"], value["seconds"])
        if name == "answers":
            assert self._corpus is not None
            pairs = zip(self._corpus.questions, self._corpus.asked, strict=True)
            return {"ids": [await self._subject.ask(value["case"], *pair) for pair in pairs]}
        if name == "facts":
            resident = psutil.Process().memory_info().rss
            return {"resident_mb": resident / 2**20, "disk_mb": await self._subject.disk_bytes() / 2**20}
        return {"error": f"no command {name!r}"}

    async def _run(self, case: str, num_callers: int, seconds: float) -> dict[str, Any]:
        assert self._corpus is not None
        turns = itertools.cycle(zip(self._corpus.questions, self._corpus.asked, strict=True))
        times_ms: list[float] = []
        began_s = time.perf_counter()

        async def call() -> None:
            while (start_s := time.perf_counter()) < began_s + seconds:
                await self._subject.ask(case, *next(turns))
                times_ms.append((time.perf_counter() - start_s) * 1000)

        await asyncio.gather(*(call() for _ in range(num_callers)))
        return {"times_ms": times_ms, "seconds": time.perf_counter() - began_s}


async def serve(subject: Subject) -> None:
    """Answer commands until the input ends."""
    worker = Worker(subject)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    print(json.dumps({"ready": {}}), file=out, flush=True)
    try:
        while line := await asyncio.to_thread(sys.stdin.readline):
            ((name, value),) = json.loads(line).items()
            print(json.dumps(await worker.answer(name, value)), file=out, flush=True)
    finally:
        await subject.close()
