"""The HTTP application: routes over the application's parts, inside one edge.

Knows nothing of Ray: `deployment` hands in the parts.
"""

from __future__ import annotations

from fastapi import FastAPI

from configs.schema import IngressConfig
from serve_app.ingress import edge
from serve_app.ingress.door.door import Door
from serve_app.ingress.door.edge import DoorEdge
from serve_app.ingress.requests.call import CallReader
from serve_app.ingress.routes import (
    adapters,
    agent,
    approvals,
    completions,
    embeddings,
    health,
    knowledge,
    knowledge_jobs,
    models,
    passed,
    rerank,
    sessions,
    usage,
    vector_stores,
)
from serve_app.ingress.services import Services
from serve_app.ingress.tracing_edge import TracingEdge
from serve_app.telemetry.spans import Tracer

_DESCRIPTION = """
OpenAI's API for the models, and Manta's own for the agent and the knowledge base. Faults have OpenAI's shape.

Every route takes these headers: `x-request-id` (comes back in the answer), `x-request-timeout-s` (seconds that
the request may take), `x-manta-tenant` (whose knowledge base), `x-manta-priority` (`interactive` or `batch`),
`x-manta-user` (which of the tenant's users: sessions are theirs), `traceparent`.
"""


def create_app(
    config: IngressConfig,
    services: Services,
    *,
    echoes_request_id: bool = True,
    door: Door | None = None,
    tracer: Tracer | None = None,
) -> FastAPI:
    """The whole API over `services`.

    Args:
        config: limits and defaults.
        services: what the routes call.
        echoes_request_id: put the request's id into the answer's headers; Ray Serve's HTTP server does so
            itself, and twice would make clients read "id, id".
        door: who is let in, and how much each may use; None: everybody, anything.
        tracer: None: requests are not traced.
    """
    from serve_app.ingress.routes import mcp_endpoint  # the protocol's library: only where it is served

    app = FastAPI(
        title="Manta",
        description=_DESCRIPTION,
        # A redirect loses the body in most clients, so a path that is not exact is not found.
        redirect_slashes=False,
        # Manta has spans and metrics of its own; FastAPI's would count everything twice.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    if door is not None:
        app.add_middleware(DoorEdge, door=door)
    if tracer is not None:
        app.add_middleware(TracingEdge, tracer=tracer)
    edge.install(app, echoes_id=echoes_request_id, closing=services.closing)
    reader = CallReader(config, door)
    app.include_router(completions.router(reader, services))
    app.include_router(embeddings.router(reader, services, config.max_embedding_inputs))
    app.include_router(rerank.router(reader, services, config.max_embedding_inputs))
    app.include_router(passed.router(reader, services))
    app.include_router(adapters.router(reader, services))
    app.include_router(agent.router(reader, services))
    app.include_router(mcp_endpoint.router(reader, services))
    app.include_router(approvals.router(reader, services))
    app.include_router(knowledge.router(reader, services.knowledge, services.jobs))
    if services.jobs is not None:
        app.include_router(knowledge_jobs.router(reader, services.jobs))
    app.include_router(vector_stores.router(reader, services.knowledge))
    app.include_router(models.router(services))
    app.include_router(usage.router(reader, door))
    app.include_router(sessions.router(reader, services.sessions))
    app.include_router(health.router(services))
    return app
