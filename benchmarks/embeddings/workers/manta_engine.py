"""`-m benchmarks.embeddings.workers.manta_engine`: an engine of Manta's in process, without deployment or HTTP.

The only file of this benchmark that knows the application: it runs as a process of its own. The configuration of
the embedder comes as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from pydantic import TypeAdapter

from benchmarks.embeddings.workers import lines
from configs.load import default_home
from configs.schema import EmbedderConfig
from serve_app.engines.base import EmbeddingEngine
from serve_app.engines.registry import open_embedder
from serve_app.messages import Deadline, RequestContext

_DEADLINE_S = 600.0


class Engine:
    """The engine on an event loop, as its deployment has it."""

    def __init__(self, engine: EmbeddingEngine, loop: asyncio.AbstractEventLoop) -> None:
        self._engine = engine
        self._loop = loop

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        found = self._loop.run_until_complete(self._engine.embed(texts, _context()))
        vectors: Sequence[Sequence[float]] = found.vectors.tolist()
        return vectors

    def count(self, texts: Sequence[str]) -> Sequence[int]:
        return self._loop.run_until_complete(self._engine.count_tokens(texts, _context()))

    def run(self, texts: lines.Texts, run: lines.Run) -> lines.Result:
        return self._loop.run_until_complete(self._run(texts, run))

    async def _run(self, texts: lines.Texts, run: lines.Run) -> lines.Result:
        done: list[tuple[int, int]] = []
        began_s, cpu_s = time.perf_counter(), time.process_time()

        async def call() -> None:
            while time.perf_counter() < began_s + run["seconds"]:
                given, num_tokens = texts.take(run["list_size"])
                await self._engine.embed(given, _context())
                done.append((len(given), num_tokens))

        await asyncio.gather(*(call() for _ in range(run["num_callers"])))
        return lines.result(done, time.perf_counter() - began_s, time.process_time() - cpu_s)


def _context() -> RequestContext:
    return RequestContext("benchmark", "benchmark", Deadline.after(_DEADLINE_S))


def main() -> None:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="the embedder's configuration, as JSON")
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    config = TypeAdapter[EmbedderConfig](EmbedderConfig).validate_json(arguments.config)
    engine = open_embedder(config, Path(default_home()), arguments.threads)
    loop = asyncio.new_event_loop()
    in_process = Engine(engine, loop)
    facts = {name: version(name) for name in ("llama-cpp-python", "onnxruntime")}
    try:
        lines.serve(facts | {"engine": engine.card().engine}, in_process, in_process.run, in_process.count)
    finally:
        loop.run_until_complete(engine.close())
        loop.close()


if __name__ == "__main__":
    main()
