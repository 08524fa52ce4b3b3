"""A model on vLLM as a ModelEngine: requests and answers pass as bytes, faults in vLLM's own words.

Knows HTTP only by `wire`, and processes only by `process`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

from configs.schema import VllmModel
from serve_app.adapters.base import Adapter
from serve_app.engines.cards import model_card
from serve_app.engines.vllm.adapter_check import adapter_folder, check_adapter
from serve_app.engines.vllm.liveness import Liveness
from serve_app.engines.vllm.process import ServerProcess
from serve_app.engines.vllm.series import work_done
from serve_app.engines.vllm.wire import Answer, Wire
from serve_app.errors import BadRequest, EngineFailed, EngineRefused, StreamLost
from serve_app.messages import Deadline, Endpoint, JsonObject, ModelCard, RequestContext
from serve_app.streams import until_deadline

_MAX_MESSAGE_CHARS = 500
# Reading an adapter's weights from a slow disk, and moving them to the device.
_ADAPTER_TIMEOUT_S = 120.0

Prepare = Callable[[JsonObject], Awaitable[None]]


async def _nothing_to_prepare(body: JsonObject) -> None:
    """Of a model without adapters."""


class VllmEngine:
    """vLLM's server, ready to work. `close` ends it."""

    def __init__(
        self, config: VllmModel, folder: Path, process: ServerProcess, wire: Wire | None = None
    ) -> None:
        """`folder` holds the model; adapters are compared with it."""
        self._config = config
        self._folder = folder
        self._process = process
        self._wire = wire or Wire(config.name, process.socket)
        self._card = model_card(config)
        self._prepare: Prepare = _nothing_to_prepare
        health = config.scaling.health
        self._liveness = Liveness(config.name, health.max_step_s)
        self._check_timeout_s = health.check_timeout_s

    def prepare_by(self, prepare: Prepare) -> None:
        """Have `prepare` run before each request, which it may refuse."""
        self._prepare = prepare

    def card(self) -> ModelCard:
        return self._card

    async def respond(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> bytes:
        self._require(endpoint)
        await self._prepare(body)
        with self._working():
            answer = await self._wire.post(endpoint.path, body, context.deadline)
        return self._document(answer)

    async def stream(
        self, endpoint: Endpoint, body: JsonObject, context: RequestContext
    ) -> AsyncIterator[bytes]:
        self._require(endpoint)
        await self._prepare(body)
        # A client that forgot `stream` still gets what it asked this method for.
        asked = body if body.get("stream") is True else body | {"stream": True}
        source = self._wire.stream(endpoint.path, asked)
        with self._working():
            async with aclosing(until_deadline(source, context.deadline, self._config.name)) as items:
                async for item in items:
                    self._liveness.hear()
                    yield self._document(item) if isinstance(item, Answer) else item

    async def check_health(self) -> None:
        status = self._process.exit_status()
        if status is not None:
            raise EngineFailed(f"vLLM's server of {self._config.name} ended with status {status}")
        health = await self._wire.get("/health", self._check_timeout_s)
        if health.status != 200:
            raise EngineFailed(
                f"vLLM's engine of {self._config.name} is dead: /health answers with status {health.status}"
            )
        if self._liveness.is_quiet:
            self._liveness.count(work_done(await self.metrics()))
        self._liveness.check()

    async def metrics(self) -> str:
        """vLLM's own, in Prometheus' text format. Raises EngineFailed: there is no answer."""
        answer = await self._wire.get("/metrics", self._check_timeout_s)
        return answer.content.decode("utf-8", "replace")

    async def load_adapter(self, adapter: Adapter) -> None:
        """Another of its name is unloaded first; requests under way keep that one.

        vLLM 0.32 has `load_inplace` for it, and then reads such an adapter from its files at every step.

        Raises:
            BadRequest: it does not fit, or vLLM does not take it; the message names it.
        """
        folder = adapter_folder(adapter.path)
        assert self._config.lora is not None
        await asyncio.to_thread(
            check_adapter, adapter.name, folder, self._folder, self._config.lora.max_lora_rank
        )
        await self.unload_adapter(adapter.name)
        body = {"lora_name": adapter.name, "lora_path": str(folder)}
        answer = await self._wire.post("/v1/load_lora_adapter", body, Deadline.after(_ADAPTER_TIMEOUT_S))
        if answer.status != 200:
            raise BadRequest(
                f"vLLM does not take the adapter {adapter.name}: {_message(answer)}", "lora_path"
            )

    async def unload_adapter(self, name: str) -> None:
        """One that vLLM does not have is gone already."""
        body = {"lora_name": name}
        await self._wire.post("/v1/unload_lora_adapter", body, Deadline.after(_ADAPTER_TIMEOUT_S))

    async def close(self) -> None:
        await self._wire.close()
        await asyncio.to_thread(self._process.end)

    def _require(self, endpoint: Endpoint) -> None:
        if endpoint not in self._card.endpoints:
            raise BadRequest(f"{self._config.name} does not serve {endpoint.path}", "model")

    @contextmanager
    def _working(self) -> Iterator[None]:
        self._liveness.begin()
        try:
            yield
        except EngineFailed as exc:
            if self._process.exit_status() is None:
                raise
            # Another replica may do it: nothing is known to be wrong with the request.
            raise StreamLost(f"vLLM's server of {self._config.name} is gone: {exc.message}") from exc
        finally:
            self._liveness.end()

    def _document(self, answer: Answer) -> bytes:
        """The response's JSON document.

        Raises:
            EngineRefused: vLLM said no; in its own words.
            BadRequest: the document is none, so it cannot travel as one.
        """
        if answer.media_type != "application/json":
            if answer.status == 200:
                raise BadRequest(
                    f"vLLM answers this request with {answer.media_type}, and Manta passes on JSON and streams of "
                    "events; ask for encoding_format float or base64",
                    "encoding_format",
                )
            raise EngineFailed(
                f"vLLM's server of {self._config.name} answered with status {answer.status}: {_text(answer)}"
            )
        if answer.status != 200:
            raise EngineRefused(_message(answer), answer.status, answer.content)
        return answer.content


def _message(answer: Answer) -> str:
    """What vLLM says of its refusal, for our own callers; clients get all of it."""
    try:
        error = json.loads(answer.content)
        told = error.get("error", error)
        return str(told.get("message") or told)[:_MAX_MESSAGE_CHARS]
    except (ValueError, AttributeError):
        return _text(answer)


def _text(answer: Answer) -> str:
    return " ".join(answer.content.decode("utf-8", "replace").split())[:_MAX_MESSAGE_CHARS] or "no message"
