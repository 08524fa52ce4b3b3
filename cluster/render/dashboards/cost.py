"""The dashboard of cost: money and tokens by tenant and model, budgets, refusals; and what the nodes cost.

Money is that of `door.prices`, counted by the door. What the cluster itself costs is the plan's: a line, not a series.
"""

from __future__ import annotations

from cluster.render.dashboards.grafana import Dashboard, Panel, Query, Row, Variable
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

    per_hour = f"{_HOUR_S} * sum by (tenant) ({ask.rate(TENANT_COST, *_CHOSEN, window='15m')})"
    earned = f"{_HOUR_S} * sum({ask.rate(TENANT_COST, window='15m')})"
    compared = [Query(earned, "what tenants are charged")]
    if planned_usd_per_hour is not None:
        compared.append(Query(f"vector({planned_usd_per_hour:.4f})", "nodes, as the plan expects them"))
    return [
        Panel("In the time range, by tenant and model", "currencyUSD",
              [Query(spent("tenant, model", "$__range"))], kind="table", width=8),
        Panel("An hour, by tenant", "currencyUSD", [Query(per_hour, "{{tenant}}")], stacked=True),
        Panel("In 24 hours, by model", "currencyUSD", [Query(spent("model", "24h"), "{{model}}")], kind="bargauge"),
        Panel("An hour, beside what nodes cost", "currencyUSD", compared, width=24),
    ]  # fmt: skip


def _use(ask: Queries) -> list[Panel]:
    requests = f"sum by (tenant, model) ({ask.rate(TENANT_REQUESTS, *_CHOSEN)})"
    tokens = f"sum by (tenant, kind) ({ask.rate(TENANT_TOKENS, *_CHOSEN)})"
    by_model = f"sum by (model, kind) ({ask.rate(TENANT_TOKENS, *_CHOSEN)})"
    discarded = f"sum by (group) ({ask.rate(CASCADE_DISCARDED_TOKENS)})"
    return [
        Panel("Requests", "reqps", [Query(requests, "{{tenant}} {{model}}")], stacked=True, width=6),
        Panel("Tokens by tenant", "ops", [Query(tokens, "{{tenant}} {{kind}}")], stacked=True, width=6),
        Panel("Tokens by model", "ops", [Query(by_model, "{{model}} {{kind}}")], stacked=True, width=6),
        Panel("Tokens that cascades threw away", "ops", [Query(discarded, "{{group}}")], width=6),
    ]


def _limits(ask: Queries) -> list[Panel]:
    used = f"max by (scope, period) ({ask.of(BUDGET_USED)})"
    refused = f"sum by (tenant, limit) ({ask.rate(TENANT_REFUSED, *_CHOSEN)})"
    return [
        Panel(
            "Budgets: share that is spent",
            "percentunit",
            [Query(used, "{{scope}} {{period}}")],
            kind="bargauge",
            maximum=1,
            thresholds=(0.75, 0.9),
            width=12,
        ),
        Panel(
            "Requests that a limit refused",
            "reqps",
            [Query(refused, "{{tenant}}: {{limit}}")],
            stacked=True,
            width=12,
        ),
    ]
