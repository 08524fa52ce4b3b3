"""The dashboard of agents: what becomes of questions, how long each part takes, what the gate says."""

from __future__ import annotations

from cluster.render.dashboards.grafana import Dashboard, Panel, Row, Variable
from cluster.render.dashboards.lines import each, quantiles, total
from cluster.render.queries import Queries, equals
from cluster.series.catalogue import exported
from serve_app.telemetry.metrics import (
    AGENT_DEGRADED,
    AGENT_DURATION,
    AGENT_LOOPS,
    AGENT_MODEL_CALLS,
    AGENT_TOKENS,
    CHUNKS_EMBEDDED,
    DOCUMENTS_INGESTED,
    GATE_VERDICTS,
    GUARD_FINDINGS,
    SEARCH_DURATION,
    SESSION_SUMMARIES,
    SESSIONS_ACTIVE,
    SOURCES,
    TOOL_DURATION,
    WEB_SEARCH_DURATION,
)

_CHOSEN = 'agent=~"$agent"'
_ANSWERS = f"{exported(AGENT_DURATION)}_count"


def dashboard(ask: Queries) -> Dashboard:
    return Dashboard(
        "manta-agents",
        "Manta / Agents",
        "Questions to agents: outcomes, times, the gate, tools, the knowledge base.",
        [
            Row("Answers", _answers(ask)),
            Row("Quality", _quality(ask)),
            Row("Tools and search", _tools(ask)),
            Row("Knowledge and conversations", _knowledge(ask)),
        ],
        [Variable("agent", "Agent", f"label_values({ask.of(_ANSWERS)}, agent)")],
    )


def _answers(ask: Queries) -> list[Panel]:
    outcomes = each("agent, outcome", ask.rate(_ANSWERS, _CHOSEN))
    times = quantiles(ask, (0.5, 0.95, 0.99), AGENT_DURATION, _CHOSEN, by="agent")
    calls, answers = (f"sum by (agent) ({ask.rate(one, _CHOSEN)})" for one in (AGENT_MODEL_CALLS, _ANSWERS))
    tokens = f"sum by (agent, kind) ({ask.rate(AGENT_TOKENS, _CHOSEN)})"
    costs = {
        "{{agent}} calls": f"{calls} / {answers}",
        "{{agent}} {{kind}} tokens": f"{tokens} / on (agent) group_left {answers}",
    }
    return [
        Panel("Answers by outcome", "reqps", outcomes, stacked=True),
        Panel("Time to the answer", "s", times),
        Panel("Model calls and tokens an answer", "short", costs),
    ]


def _quality(ask: Queries) -> list[Panel]:
    passages, answers = (
        each("verdict", ask.rate(GATE_VERDICTS, _CHOSEN, equals("stage", stage)))
        for stage in ("context", "answer")
    )
    flags = each("reason", ask.rate(AGENT_DEGRADED, _CHOSEN))
    loops = each("loop", ask.rate(AGENT_LOOPS, _CHOSEN))
    findings = each("direction, category, action", ask.rate(GUARD_FINDINGS))
    answerable = "Whether the question is answerable from what was found."
    unknown = "`unknown`: the judge gave no verdict."
    return [
        Panel("The gate on passages", "reqps", passages, stacked=True, description=answerable),
        Panel("The gate on answers", "reqps", answers, stacked=True, description=unknown),
        Panel("Flags of answers", "reqps", flags, stacked=True),
        Panel("Further rounds", "reqps", loops, stacked=True),
        Panel("What guards found", "ops", findings, stacked=True),
    ]


def _tools(ask: Queries) -> list[Panel]:
    calls = each("tool, status", ask.rate(f"{exported(TOOL_DURATION)}_count", _CHOSEN))
    times = {"{{tool}}": ask.quantile(0.95, TOOL_DURATION, _CHOSEN, by=("tool",))}
    searches = quantiles(ask, (0.5, 0.95), SEARCH_DURATION, by="mode")
    web = each("provider, outcome", ask.rate(f"{exported(WEB_SEARCH_DURATION)}_count"))
    web_times = {"{{provider}}": ask.quantile(0.95, WEB_SEARCH_DURATION, by=("provider",))}
    return [
        Panel("Calls of tools", "ops", calls),
        Panel("Time of tools, p95", "s", times),
        Panel("Searches of the knowledge base, p50 and p95", "s", searches),
        Panel("Searches of the web", "ops", web),
        Panel("Time of the web, p95", "s", web_times),
    ]


def _knowledge(ask: Queries) -> list[Panel]:
    # Every replica of the knowledge base tells the same.
    sources = each("standing", ask.of(SOURCES), how="max")
    ingested = each("status", ask.rate(DOCUMENTS_INGESTED), legend="documents {{status}}")
    ingested |= total(ask.rate(CHUNKS_EMBEDDED), "chunks embedded")
    sessions = each("name", ask.of(SESSIONS_ACTIVE), "active")
    summaries = ask.increase(SESSION_SUMMARIES, window="1h")
    sessions |= each("result", summaries, legend="summaries an hour: {{result}}")
    return [
        Panel("Sources by standing", "none", sources, stacked=True),
        Panel("Ingestion", "ops", ingested),
        Panel("Conversations", "short", sessions),
    ]
