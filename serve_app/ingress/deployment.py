"""The ingress' deployment: the HTTP application in a replica, over handles to everything else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import httpx
import ray
from fastapi import FastAPI
from ray.serve.context import _get_global_client
from ray.serve.handle import DeploymentHandle

from configs.schema import (
    DoorConfig,
    FrontConfig,
    IngressConfig,
    SessionsConfig,
    StreamsConfig,
    TracingConfig,
)
from serve_app.adapters.base import Adapter
from serve_app.adapters.book import AdapterBook
from serve_app.adapters.deployment import RayAdapters
from serve_app.draining import Draining
from serve_app.errors import Unavailable
from serve_app.front.parts import guarded_agent, guarded_declared_agent, open_front
from serve_app.handles import (
    AgentHandle,
    DeclaredAgentHandle,
    EmbedderHandle,
    KnowledgeHandle,
    ModelHandle,
    model_handles,
    own_calls_per_s,
)
from serve_app.health.deployment import explain_by_deployment
from serve_app.health.replica import ReplicaHealth
from serve_app.identity.exposure import require_safe
from serve_app.ingress.adapters import Adapters
from serve_app.ingress.app import create_app
from serve_app.ingress.door.door import Door
from serve_app.ingress.door.parts import open_door
from serve_app.ingress.services import Services
from serve_app.ingress.waking.asleep import is_asleep
from serve_app.ingress.waking.cold_start import ColdStart
from serve_app.limits.tally import Tally
from serve_app.messages import ModelCard
from serve_app.replica import LAST_WORDS_S, open_inbox, settle_in
from serve_app.sessions.open import open_sessions
from serve_app.telemetry.deployment import Instruments
from serve_app.telemetry.metrics import CHANNEL_LINKS, STREAMS_RECEIVED
from serve_app.telemetry.pulse import Pulse, Reading
from serve_app.telemetry.tracing import Tracing

logger = logging.getLogger("manta.ingress")


class _Checked(Protocol):
    """What every handle can be asked."""

    async def check_health(self) -> None: ...


class IngressDeployment:
    """One replica of the ingress."""

    def __init__(
        self,
        config: IngressConfig,
        streams: StreamsConfig,
        models: Mapping[str, DeploymentHandle[Any]],
        embedder: DeploymentHandle[Any],
        knowledge: DeploymentHandle[Any],
        agent: DeploymentHandle[Any],
        cards: Mapping[str, ModelCard],
        left_out: Mapping[str, str],
        *,
        embedder_name: str,
        agent_name: str,
        may_sleep: Mapping[str, float],
        door: DoorConfig,
        front: FrontConfig,
        home: Path,
        sessions: SessionsConfig | None = None,
        tracing: TracingConfig = TracingConfig(),  # noqa: B008 (frozen)
        declared: Mapping[str, DeploymentHandle[Any]] | None = None,
        adaptable: Collection[str] = (),
        configured: Collection[Adapter] = (),
    ) -> None:
        """`cards` has one for every model in the graph, the embedder and the agent. What is named in
        `may_sleep` scales to zero, and a request waits so many seconds for its first replica; asking
        whether it is ready would wake it, so nobody asks. What is named in `adaptable` takes adapters, and
        has those of `configured` always."""
        # `serve run` in HAProxy mode listens on all interfaces where no host is given, and asks nobody else.
        require_safe(_serving_host(), door.authentication)
        self._config = config
        self._inbox = open_inbox(streams)
        self._instruments = Instruments()
        count = self._instruments.count
        declared = declared or {}
        chat = model_handles(models, cards, self._inbox, streams)
        embeds = EmbedderHandle(
            embedder,
            embedder_name,
            self._inbox,
            own_calls_per_s=own_calls_per_s(cards[embedder_name], streams),
        )
        knows = KnowledgeHandle(knowledge, self._inbox)
        pipeline = AgentHandle(
            agent, agent_name, self._inbox, own_calls_per_s=own_calls_per_s(cards[agent_name], streams)
        )
        own = {
            name: DeclaredAgentHandle(
                one, name, self._inbox, own_calls_per_s=own_calls_per_s(cards[name], streams)
            )
            for name, one in declared.items()
        }
        handles: Mapping[str, _Checked] = {
            **chat, embedder_name: embeds, "knowledge": knows, agent_name: pipeline, **own,
        }  # fmt: skip
        deployments = {
            **models, embedder_name: embedder, "knowledge": knowledge, agent_name: agent, **declared,
        }  # fmt: skip
        self._adapters = _adapters({name: chat[name] for name in adaptable}, configured, cards)
        self._sessions = None if sessions is None else open_sessions(sessions, home)
        self._tracing = Tracing(tracing, "Ingress", count)
        guarded = {name: guarded_declared_agent(one, front, count) for name, one in own.items()}
        self._services = Services(
            models=chat,
            embedders={embedder_name: embeds},
            agents={agent_name: guarded_agent(pipeline, front, count), **guarded},
            declared=guarded,
            knowledge=knows,
            jobs=knows,
            cards=cards,
            left_out=left_out,
            probes={name: one.check_health for name, one in handles.items() if name not in may_sleep},
            explain=explain_by_deployment({name: one.deployment_name for name, one in deployments.items()}),
            read_metrics=read_node_metrics,
            front=open_front(
                front,
                {name: cards[name] for name in models},
                count,
                agents=(agent_name, *own),
                embedder=embeds,
                knowledge=knows,
                redis=door.redis,
            ),
            sessions=self._sessions,
            cold_starts=_cold_starts(deployments, may_sleep),
            adapters=self._adapters,
        )
        self._door = self._open_door(door, front, home, cards, agent_name)
        self._keeping = None if self._door is None else asyncio.create_task(self._door.run())
        self._draining = Draining()
        self._ending = asyncio.create_task(self._end_answers())
        self._health = ReplicaHealth("the ingress", config.scaling.health)
        self._pulse = Pulse("ingress", self._instruments.put, self._held)

    def _open_door(
        self, door: DoorConfig, front: FrontConfig, home: Path, cards: Collection[str], agent_name: str
    ) -> Door | None:
        base_of = self._adapters.base_of if self._adapters is not None else lambda _: None
        tally = Tally(self._instruments.count, self._instruments.put) if door.is_counting else None
        members = {group.name: group.models() for group in front.groups}
        return open_door(door, self._config, home, cards, agent_name, base_of, tally, members)

    def __serve_build_asgi_app__(self) -> FastAPI:
        # Serve echoes the request's id.
        app = create_app(
            self._config,
            self._services,
            echoes_request_id=False,
            door=self._door,
            tracer=self._tracing.tracer,
        )
        settle_in()
        return app

    async def check_health(self) -> None:
        """For Serve: see ReplicaHealth."""
        if self._keeping is not None and self._keeping.done():
            raise Unavailable("the door's keys and limits are no longer kept up to date")
        await self._health.check()

    async def __del__(self) -> None:
        self._health.close()
        self._ending.cancel()
        await self._draining.close()
        await self._pulse.close()
        if self._keeping is not None and self._door is not None:
            self._keeping.cancel()
            await self._door.close()
        if self._inbox is not None:
            self._inbox.close()
        if self._sessions is not None:
            await self._sessions.close()
        if self._services.front is not None:
            await self._services.front.close()
        await self._tracing.close()

    def _held(self) -> Iterable[Reading]:
        if self._inbox is not None:
            yield STREAMS_RECEIVED, self._inbox.num_streams
            yield CHANNEL_LINKS, self._inbox.num_links

    async def _end_answers(self) -> None:
        """When this replica is drained and its grace time all but over: say why the answers end."""
        await self._draining.grace_over(LAST_WORDS_S)
        error = Unavailable(
            "this server is being replaced, and the answer took longer than the grace time that it has for that"
        )
        num_ended = self._services.closing.end_all(error)
        logger.warning("%d answers were ended: %s", num_ended, error.message)


def _serving_host() -> str | None:
    """The address that Serve's HTTP servers listen on, HAProxy's and the replicas' own; None: there are none."""
    client: Any = _get_global_client()
    host: str | None = client.http_config.host
    return host


def _adapters(
    models: Mapping[str, ModelHandle], configured: Collection[Adapter], cards: Collection[str]
) -> Adapters | None:
    """Of the models that take any; their names may be none of `cards`."""
    return Adapters(models, frozenset(cards), AdapterBook(configured, RayAdapters())) if models else None


def _cold_starts(
    handles: Mapping[str, DeploymentHandle[Any]], may_sleep: Mapping[str, float]
) -> dict[str, Callable[[], ColdStart]]:
    return {
        name: partial(ColdStart, name, timeout_s, partial(is_asleep, handles[name]))
        for name, timeout_s in may_sleep.items()
    }


async def read_node_metrics() -> bytes:
    """This node's metrics in Prometheus' text format, from Ray's own exporter.

    Raises:
        Unavailable: the exporter does not answer.
    """
    node_id = ray.get_runtime_context().get_node_id()
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    node = next(node for node in nodes if node["NodeID"] == node_id)
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    try:
        async with httpx.AsyncClient(timeout=5.0, trust_env=False) as client:
            response = await client.get(url)
            response.raise_for_status()
    except httpx.HTTPError as exc:
        raise Unavailable(
            f"Ray's metrics exporter on this node does not answer: {exc.__class__.__name__}"
        ) from exc
    return response.content
