"""A replica of a vLLM model: what every chat model's is, and vLLM's own metrics told to Ray."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve._private.common import RequestRoutingInfo
from ray.serve.context import _get_global_client
from ray.serve.metrics import Gauge

from configs.schema import ModelConfig, VllmModel
from serve_app.adapters.base import Adapter
from serve_app.adapters.book import AdapterBook, configured_adapters
from serve_app.adapters.deployment import RayAdapters
from serve_app.engines.base import ModelEngine
from serve_app.engines.deployment import ModelDeployment
from serve_app.engines.vllm.adapter_check import adapter_folder, require_inside
from serve_app.engines.vllm.adapters import LoadedAdapters
from serve_app.engines.vllm.engine import VllmEngine
from serve_app.engines.vllm.series import News, Sample, samples
from serve_app.errors import MantaError, ModelNotFound
from serve_app.messages import JsonObject
from serve_app.replica import returns_errors
from serve_app.telemetry.metrics import Count

logger = logging.getLogger("manta.vllm")

KEEP_EVERY_S = 5.0

# Facts that vLLM writes into labels; as they change they would leave dead series behind.
_FACTS = "_info"
_OWN_NAME = "model_name"  # vLLM's label for what ours calls `model`


class VllmDeployment(ModelDeployment):
    """One replica of a model on vLLM."""

    def __init__(self, config: VllmModel, home: Path, *args: Any) -> None:
        """`args`: as ModelDeployment's."""
        super().__init__(config, home, *args)
        self._name = config.name
        self._adapters: LoadedAdapters | None = None
        if config.lora is not None:
            self._adapter_folder = config.lora.folder
            self._book = AdapterBook(configured_adapters([config]), RayAdapters())
            self._adapters = LoadedAdapters(
                self._vllm.load_adapter, self._vllm.unload_adapter, config.lora.max_adapters, _report
            )
            self._vllm.prepare_by(self._ensure_adapter)
        self._series = RaySeries(config.name)
        self._keeping = asyncio.create_task(self._keep())

    def _open(self, config: ModelConfig, home: Path, num_threads: int, count: Count) -> ModelEngine:
        engine = super()._open(config, home, num_threads, count)
        assert isinstance(engine, VllmEngine)
        self._vllm = engine  # without what others may wrap around it
        return engine

    @returns_errors
    async def load_adapter(self, adapter: Adapter) -> None:
        """So that it is known to fit before anybody is told of it.

        Raises:
            BadRequest: it does not, or it is not where adapters may come from.
        """
        assert self._adapters is not None
        folder = None if self._adapter_folder is None else adapter_folder(self._adapter_folder)
        await asyncio.to_thread(require_inside, adapter.name, adapter_folder(adapter.path), folder)
        await self._adapters.ensure(adapter)

    async def __del__(self) -> None:
        self._keeping.cancel()
        with suppress(asyncio.CancelledError):
            await self._keeping
        await super().__del__()

    async def _ensure_adapter(self, body: JsonObject) -> None:
        """Have the adapter that a request names."""
        name = body.get("model", self._name)
        if self._adapters is None or name == self._name:
            return
        adapter = await self._book.find_told(name)
        if adapter is None or adapter.model != self._name:
            raise ModelNotFound(f"{self._name} has no adapter {name!r}")
        await self._adapters.ensure(adapter)

    async def _keep(self) -> None:
        """Tell vLLM's series to Ray, and unload what was removed, until it is cancelled."""
        while True:
            try:
                text = await self._vllm.metrics()
                if self._adapters is not None:
                    await self._adapters.retire((await self._book.all()).keys())
            except MantaError as exc:  # the health check says so too, and acts on it
                logger.warning("%s: %s", self._name, exc.message)
            else:
                # A thousand numbers: off the loop, so that no stream waits for them.
                await asyncio.to_thread(self._series.put, samples(text))
            await asyncio.sleep(KEEP_EVERY_S)


async def _report(names: Collection[str]) -> None:
    """To Serve, whose routers prefer a replica that has the adapter that a request names."""
    replica_id = serve.get_replica_context().replica_id
    info = RequestRoutingInfo(replica_id=replica_id, multiplexed_model_ids=list(names))
    client: Any = _get_global_client()
    await asyncio.to_thread(client.record_request_routing_info, info)


class RaySeries:
    """vLLM's numbers as gauges of Ray, which adds the labels `deployment` and `replica`.

    Gauges all, because they hold what vLLM counted itself; the names are vLLM's with `_` for `:`, so histograms keep
    their `_bucket`, `_sum` and `_count`, and counters their `_total`: rates and quantiles are asked for as ever.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._gauges: dict[str, tuple[Gauge, tuple[str, ...]]] = {}
        self._news = News()

    def put(self, read: Iterable[Sample]) -> None:
        wanted = (sample for sample in read if not sample.name.endswith(_FACTS))
        for sample in self._news.of(wanted, time.monotonic()):
            labels = {key: value for key, value in sample.labels.items() if key != _OWN_NAME}
            gauge, names = self._gauge(sample.name, labels)
            gauge.set(
                sample.value, tags={"model": self._model, **{one: labels.get(one, "") for one in names}}
            )

    def _gauge(self, name: str, labels: dict[str, str]) -> tuple[Gauge, tuple[str, ...]]:
        made = self._gauges.get(name)
        if made is None:
            names = tuple(labels)
            keys: Any = ("model", *names)  # Serve's annotation says one label; it takes any number
            made = Gauge(name.replace(":", "_"), description=f"{name}, as vLLM has it.", tag_keys=keys), names
            self._gauges[name] = made
        return made
