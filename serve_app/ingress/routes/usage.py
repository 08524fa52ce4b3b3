"""GET /v1/usage: what the asker's tenant has used, by day, key and model."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from serve_app.errors import Forbidden, NotFound
from serve_app.identity.base import Role
from serve_app.ingress.answers.answers import json_document
from serve_app.ingress.door.door import Door, visit_of
from serve_app.ingress.requests.call import CallReader
from serve_app.limits.base import NANO_PER_USD, UsageRow
from serve_app.messages import JsonObject

MAX_DAYS = 62


def router(reader: CallReader, door: Door | None) -> APIRouter:
    routes = APIRouter(tags=["operation"])

    @routes.get("/v1/usage")
    async def usage(
        request: Request,
        days: Annotated[int, Query(ge=1, le=MAX_DAYS)] = 30,
        tenant: str | None = None,
    ) -> Response:
        """What was used today and in the days before. Operators see every tenant, or one that they name."""
        if door is None or door.limiter is None:
            raise NotFound("usage is not counted here: configure door.counts_usage, keys or limits")
        call = reader.read_headers(request)
        principal = visit_of(request.scope).principal
        is_operator = principal is not None and principal.role >= Role.OPERATOR
        if not is_operator and tenant not in (None, call.context.tenant):
            raise Forbidden("the usage of other tenants is for operators")
        wanted = tenant if is_operator else call.context.tenant
        rows = await call.run("usage", door.limiter.usage(days))
        data = [_shown(row) for row in rows if wanted in (None, row.tenant)]
        return json_document({"object": "usage", "days": days, "tenant": wanted, "data": data})

    return routes


def _shown(row: UsageRow) -> JsonObject:
    return {
        "day": row.day,
        "tenant": row.tenant,
        "who": row.who,
        "model": row.model,
        "requests": row.num_requests,
        "prompt_tokens": row.num_prompt_tokens,
        "answer_tokens": row.num_answer_tokens,
        "usd": row.nano_usd / NANO_PER_USD,
    }
