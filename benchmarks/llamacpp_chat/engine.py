"""Manta's llama.cpp engine in this process, without Ray.

The only file of the benchmark that knows the application: what measures the engine without the rest of it has to open
it itself.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import asdict
from typing import Any, cast

from configs.load import default_home
from configs.schema import LlamaCppModel
from serve_app.engines.llamacpp.chat import LlamaCppGenerator, open_llamacpp_chat
from serve_app.engines.text_edge import TextEdge
from serve_app.errors import MantaError as Refused
from serve_app.messages import Deadline, Endpoint, RequestContext

__all__ = ["Engine", "Refused"]


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

    def held(self) -> dict[str, int]:
        """What is held of requests now, by name; all 0 when nobody asks anything."""
        return asdict(self._generator.held())


def _context(request_id: str, timeout_s: float) -> RequestContext:
    return RequestContext(request_id, "benchmark", Deadline.after(timeout_s))
