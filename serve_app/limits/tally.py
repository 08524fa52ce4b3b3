"""What tenants use, told as metrics every few seconds: what a person on call and whoever pays look at.

Gathered in passing, because a counter of Ray's costs more than a request's place in a dictionary. The usage that
bills are made of is the store's; this forgets at most its last few seconds when a replica is killed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from serve_app.limits.base import NANO_PER_USD, Check, Kind, Standing, UsageRow
from serve_app.limits.calendar import Calendar
from serve_app.telemetry.metrics import (
    BUDGET_USED,
    TENANT_COST,
    TENANT_REFUSED,
    TENANT_REQUESTS,
    TENANT_TOKENS,
    Count,
)
from serve_app.telemetry.pulse import EVERY_S, Put

# Each one is a series of its own for as long as the process lives, and where the door is open anybody makes names up.
MAX_TENANTS = 1000
OTHERS = "(others)"
# Keys have budgets too; there may be thousands of them, and each belongs to a tenant.
_TOLD_SCOPES = ("tenant:", "model:")


class Tally:
    """Of one replica of the ingress.

    Args:
        count: adds to a counter.
        put: sets a gauge.
        calendar: when a budget begins anew.
    """

    def __init__(self, count: Count, put: Put, calendar: Calendar | None = None) -> None:
        self._count = count
        self._put = put
        self._calendar = calendar or Calendar()
        self._tenants: set[str] = set()
        self._used: dict[tuple[str, str], UsageRow] = {}  # (tenant, model) -> since it was last told
        self._refused: Counter[tuple[str, str, str]] = Counter()  # (tenant, model, what is limited)
        self._budgets: dict[tuple[str, Kind], tuple[str, float]] = {}  # (scope, kind) -> (period, share used)

    def used(self, row: UsageRow) -> None:
        """An answer of a model is over."""
        if row.model:
            place = self._tenant(row.tenant), row.model
            known = self._used.get(place)
            self._used[place] = row if known is None else known + row

    def refused(self, tenant: str, model: str | None, by: Check) -> None:
        """A limit said no."""
        self._refused[self._tenant(tenant), model or "", by.kind.value] += 1

    def seen(self, standings: Sequence[Standing]) -> None:
        """How limits stand that are shared by all replicas; those of money are told."""
        for standing in standings:
            check = standing.check
            if check.is_money and check.limit > 0 and check.scope.startswith(_TOLD_SCOPES):
                place = check.scope, check.kind
                if place in self._budgets or len(self._budgets) < 2 * MAX_TENANTS:
                    share = 1.0 - standing.remaining / check.limit
                    self._budgets[place] = self._calendar.period(check.kind), share

    def tell(self) -> None:
        """Everything since the last time."""
        used, self._used = self._used, {}
        for (tenant, model), row in used.items():
            self._count(TENANT_REQUESTS, row.num_requests, tenant=tenant, model=model)
            for kind, num in (("prompt", row.num_prompt_tokens), ("completion", row.num_answer_tokens)):
                self._count(TENANT_TOKENS, num, tenant=tenant, model=model, kind=kind)
            self._count(TENANT_COST, row.nano_usd / NANO_PER_USD, tenant=tenant, model=model)
        refused, self._refused = self._refused, Counter()
        for (tenant, model, limit), num in refused.items():
            self._count(TENANT_REFUSED, num, tenant=tenant, model=model, limit=limit)
        for (scope, kind), (period, share) in list(self._budgets.items()):
            is_over = period != self._calendar.period(kind)
            self._put(BUDGET_USED, 0.0 if is_over else share, scope=scope, period=kind.value)
            if is_over:
                del self._budgets[scope, kind]

    async def run(self) -> None:
        """Tell every few seconds, until it is cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            self.tell()

    async def close(self) -> None:
        """Tell what is left."""
        self.tell()

    def _tenant(self, name: str) -> str:
        if name not in self._tenants:
            if len(self._tenants) >= MAX_TENANTS:
                return OTHERS
            self._tenants.add(name)
        return name
