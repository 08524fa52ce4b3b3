"""What every worker shares: commands as lines of JSON on standard input, an answer to each on standard output.

    {"texts": {"short": {"texts": [...], "num_tokens": [...]}}}             -> {}
    {"run": {"kind": "short", "num_callers": 32, "list_size": 1, "seconds": 4}}
                                                     -> {"num_texts": n, "num_tokens": n, "seconds": s, "cpu_s": s}
    {"vectors": ["text", ...]}                                              -> {"vectors": [[...], ...]}
    {"count": ["text", ...]}                                                -> {"num_tokens": [...]}

An error is {"error": "..."}. The first line out is {"ready": {...facts}}. Standard library only: other interpreters
with nothing but the peer's library run it too.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol


class Embedder(Protocol):
    """What a worker wraps."""

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One call of the library, as a user makes it; called by one thread at a time."""
        ...


class Texts:
    """Texts of one kind, handed out in turns without end."""

    def __init__(self, texts: Sequence[str], num_tokens: Sequence[int]) -> None:
        self._texts = list(zip(texts, num_tokens, strict=True))
        self._turn = itertools.cycle(self._texts)
        self._lock = threading.Lock()

    def take(self, num: int) -> tuple[list[str], int]:
        """The next texts, and their tokens in all."""
        with self._lock:
            taken = list(itertools.islice(self._turn, num))
        return [text for text, _ in taken], sum(count for _, count in taken)


Run = Mapping[str, Any]
Result = dict[str, Any]


def run_in_threads(embed: Callable[[Sequence[str]], Any], texts: Texts, run: Run) -> Result:
    """Callers as threads that call one after the other under a lock, as a library without one needs it."""
    lock = threading.Lock()
    done: list[tuple[int, int]] = []

    def call() -> None:
        while time.perf_counter() < end_s:
            given, num_tokens = texts.take(run["list_size"])
            with lock:
                embed(given)
            done.append((len(given), num_tokens))

    callers = [threading.Thread(target=call, daemon=True) for _ in range(run["num_callers"])]
    began_s, cpu_s = time.perf_counter(), time.process_time()
    end_s = began_s + run["seconds"]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return result(done, time.perf_counter() - began_s, time.process_time() - cpu_s)


def result(done: Sequence[tuple[int, int]], seconds: float, cpu_s: float) -> Result:
    """The answer to a run; `done` are (texts, tokens) of each call."""
    return {
        "num_texts": sum(num for num, _ in done),
        "num_tokens": sum(num for _, num in done),
        "seconds": round(seconds, 4),
        "cpu_s": round(cpu_s, 4),
    }


def serve(
    ready: Mapping[str, Any],
    embedder: Embedder,
    run_texts: Callable[[Texts, Run], Result] | None = None,
    count: Callable[[Sequence[str]], Sequence[int]] | None = None,
) -> None:
    """Answer commands until the input ends.

    Args:
        ready: facts for the records: versions, settings.
        embedder: what embeds.
        run_texts: how callers run, if not as threads with a lock.
        count: tokens of texts, without special ones.
    """
    kinds: dict[str, Texts] = {}

    def answer(name: str, value: Any) -> Result:
        if name == "texts":
            kinds.update({kind: Texts(**given) for kind, given in value.items()})
            return {}
        if name == "run":
            texts = kinds[value["kind"]]
            return run_texts(texts, value) if run_texts else run_in_threads(embedder.embed, texts, value)
        if name == "vectors":
            return {"vectors": [[float(x) for x in vector] for vector in embedder.embed(value)]}
        if name == "count" and count is not None:
            return {"num_tokens": list(count(value))}
        return {"error": f"no command {name!r}"}

    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    print(json.dumps({"ready": dict(ready)}), file=out, flush=True)
    for name, value in _commands():
        print(json.dumps(answer(name, value)), file=out, flush=True)


def _commands() -> Iterator[tuple[str, Any]]:
    for line in sys.stdin:
        (command,) = json.loads(line).items()
        yield command
