"""Manta's llama.cpp engine in this process, without Ray.

The only file of the benchmark that knows the application: what measures the engine without the rest of it has to open
it itself.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, cast

from benchmarks.llamacpp_chat.left_behind import Leftovers
from configs.load import default_home
from configs.schema import LlamaCppModel
from serve_app.engines.llamacpp.chat import LlamaCppGenerator, open_llamacpp_chat
from serve_app.engines.text_edge import TextEdge
from serve_app.errors import MantaError as Refused
from serve_app.messages import Deadline, Endpoint, RequestContext

__all__ = ["Engine", "Refused", "leftovers"]


class Engine:
    """The engine and OpenAI's edge of it.

    Args:
        config: the model's, as in a profile.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        model = LlamaCppModel.model_validate(dict(config))
        self._generator: LlamaCppGenerator = open_llamacpp_chat(
            model, default_home(), num_cpus=model.num_threads or 1
        )
        self._edge = TextEdge(self._generator)

    def stream(self, body: dict[str, Any], request_id: str, timeout_s: float) -> AsyncGenerator[bytes]:
        """Server-sent events of /v1/completions. Closing it ends the request.

        Raises:
            Refused: any of the application's errors.
        """
        frames = self._edge.stream(Endpoint.COMPLETIONS, body, _context(request_id, timeout_s))
        return cast("AsyncGenerator[bytes]", frames)

    async def respond(self, body: dict[str, Any], request_id: str, timeout_s: float) -> bytes:
        """The JSON document of /v1/completions."""
        return await self._edge.respond(Endpoint.COMPLETIONS, body, _context(request_id, timeout_s))

    async def close(self) -> None:
        """Free memory and threads."""
        await self._edge.close()

    def leftovers(self) -> Leftovers:
        """What is held now; says something only while nobody asks anything."""
        return leftovers(self._generator)


def leftovers(generator: LlamaCppGenerator) -> Leftovers:
    """As `Engine.leftovers`. Looks inside, where nothing but a check for leaks has any business."""
    import llama_cpp

    engine = generator._engine  # noqa: SLF001
    slots = engine._slots._slots  # noqa: SLF001
    kept = engine._slots._kept  # noqa: SLF001
    memory = engine._context._memory  # noqa: SLF001
    num_kept_bytes = sum(text.state.nbytes for text in kept._texts.values())  # noqa: SLF001
    return Leftovers(
        num_requests=generator._num_open,  # noqa: SLF001
        num_jobs=len(generator._thread._waiting),  # noqa: SLF001
        num_texts=len(engine._texts),  # noqa: SLF001
        num_busy_slots=sum(slot.is_busy for slot in slots),
        num_wrong_slots=sum(
            slot.num_tokens != llama_cpp.llama_memory_seq_pos_max(memory, slot.id) + 1 for slot in slots
        ),
        num_excess_bytes=max(0, num_kept_bytes - kept._max_bytes)  # noqa: SLF001
        + abs(kept.num_bytes - num_kept_bytes),
    )


def _context(request_id: str, timeout_s: float) -> RequestContext:
    return RequestContext(request_id, "benchmark", Deadline.after(timeout_s))
