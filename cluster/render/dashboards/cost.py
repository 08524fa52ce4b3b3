"""The dashboard of cost: money and tokens by tenant and model, budgets, refusals; and what the nodes cost.

Money is that of `door.prices`, counted by the door. What the cluster itself costs is the plan's: a line, not a series.
"""

from __future__ import annotations

from cluster.render.dashboards.grafana import Dashboard, Panel, Row, Variable
from cluster.render.dashboards.lines import each
from cluster.render.queries import Queries
from serve_app.telemetry.metrics import (
    BUDGET_USED,
    CASCADE_DISCARDED_TOKENS,
    TENANT_COST,
    TENANT_REFUSED,
    TENANT_REQUESTS,
    TENANT_TOKENS,
)

_CHOSEN = ('tenant=~"$tenant"', 'model=~"$model"')
_HOUR_S = 3600


def dashboard(ask: Queries, planned_usd_per_hour: float | None) -> Dashboard:
    """`planned_usd_per_hour`: what the plan expects the nodes to cost; None: it does not know."""
    return Dashboard(
        "manta-cost",
        "Manta / Cost",
        "Money and tokens by tenant and model, as the door counts them by `door.prices`.",
        [
            Row("Money", _money(ask, planned_usd_per_hour)),
            Row("Use", _use(ask)),
            Row("Limits", _limits(ask)),
        ],
        [
            Variable("tenant", "Tenant", f"label_values({ask.of(TENANT_REQUESTS)}, tenant)"),
            Variable("model", "Model", f"label_values({ask.of(TENANT_REQUESTS)}, model)"),
        ],
    )


def _money(ask: Queries, planned_usd_per_hour: float | None) -> list[Panel]:
    def spent(by: str, window: str) -> str:
        return f"sum by ({by}) ({ask.increase(TENANT_COST, *_CHOSEN, window=window)})"

    in_range = {"": spent("tenant, model", "$__range")}
    in_a_day = {"{{model}}": spent("model", "24h")}
    hourly = f"{_HOUR_S} * sum by (tenant) ({ask.rate(TENANT_COST, *_CHOSEN, window='15m')})"
    compared = {"what tenants are charged": f"{_HOUR_S} * sum({ask.rate(TENANT_COST, window='15m')})"}
    if planned_usd_per_hour is not None:
        compared["nodes, as the plan expects them"] = f"vector({planned_usd_per_hour:.4f})"
    return [
        Panel("In the time range, by tenant and model", "currencyUSD", in_range, kind="table"),
        Panel("An hour, by tenant", "currencyUSD", {"{{tenant}}": hourly}, stacked=True),
        Panel("In 24 hours, by model", "currencyUSD", in_a_day, kind="bargauge"),
        Panel("An hour, beside what nodes cost", "currencyUSD", compared, width=24),
    ]


def _use(ask: Queries) -> list[Panel]:
    requests = each("tenant, model", ask.rate(TENANT_REQUESTS, *_CHOSEN))
    tokens = ask.rate(TENANT_TOKENS, *_CHOSEN)
    discarded = each("group", ask.rate(CASCADE_DISCARDED_TOKENS))
    return [
        Panel("Requests", "reqps", requests, stacked=True, width=6),
        Panel("Tokens by tenant", "ops", each("tenant, kind", tokens), stacked=True, width=6),
        Panel("Tokens by model", "ops", each("model, kind", tokens), stacked=True, width=6),
        Panel("Tokens that cascades threw away", "ops", discarded, width=6),
    ]


def _limits(ask: Queries) -> list[Panel]:
    used = each("scope, period", ask.of(BUDGET_USED), how="max")
    refused = each("tenant, limit", ask.rate(TENANT_REFUSED, *_CHOSEN), legend="{{tenant}}: {{limit}}")
    return [
        Panel(
            "Budgets: share that is spent",
            "percentunit",
            used,
            kind="bargauge",
            maximum=1,
            thresholds=(0.75, 0.9),
            width=12,
        ),
        Panel("Requests that a limit refused", "reqps", refused, stacked=True, width=12),
    ]
