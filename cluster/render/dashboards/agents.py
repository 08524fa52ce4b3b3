"""The dashboard of agents: what becomes of questions, how long each part takes, what the gate says."""

from __future__ import annotations

from cluster.render.dashboards.grafana import Dashboard, Panel, Query, Row, Variable
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
    by_outcome = f"sum by (agent, outcome) ({ask.rate(_ANSWERS, _CHOSEN)})"
    calls = f"sum by (agent) ({ask.rate(AGENT_MODEL_CALLS, _CHOSEN)})"
    tokens = f"sum by (agent, kind) ({ask.rate(AGENT_TOKENS, _CHOSEN)})"
    answers = f"sum by (agent) ({ask.rate(_ANSWERS, _CHOSEN)})"
    return [
        Panel("Answers by outcome", "reqps", [Query(by_outcome, "{{agent}} {{outcome}}")], stacked=True),
        Panel(
            "Time to the answer",
            "s",
            [
                Query(
                    ask.quantile(share, AGENT_DURATION, _CHOSEN, by=("agent",)),
                    f"{{{{agent}}}} p{share * 100:g}",
                )
                for share in (0.5, 0.95, 0.99)
            ],
        ),
        Panel(
            "Model calls and tokens an answer",
            "short",
            [
                Query(f"{calls} / {answers}", "{{agent}} calls"),
                Query(f"{tokens} / on (agent) group_left {answers}", "{{agent}} {{kind}} tokens"),
            ],
        ),
    ]


def _quality(ask: Queries) -> list[Panel]:
    def verdicts(stage: str) -> str:
        return f"sum by (verdict) ({ask.rate(GATE_VERDICTS, _CHOSEN, equals('stage', stage))})"

    flags = f"sum by (reason) ({ask.rate(AGENT_DEGRADED, _CHOSEN)})"
    loops = f"sum by (loop) ({ask.rate(AGENT_LOOPS, _CHOSEN)})"
    findings = f"sum by (direction, category, action) ({ask.rate(GUARD_FINDINGS)})"
    return [
        Panel(
            "The gate on passages",
            "reqps",
            [Query(verdicts("context"), "{{verdict}}")],
            stacked=True,
            description="Whether the question is answerable from what was found.",
        ),
        Panel(
            "The gate on answers",
            "reqps",
            [Query(verdicts("answer"), "{{verdict}}")],
            stacked=True,
            description="`unknown`: the judge gave no verdict.",
        ),
        Panel("Flags of answers", "reqps", [Query(flags, "{{reason}}")], stacked=True),
        Panel("Further rounds", "reqps", [Query(loops, "{{loop}}")], stacked=True),
        Panel(
            "What guards found",
            "ops",
            [Query(findings, "{{direction}} {{category}} {{action}}")],
            stacked=True,
        ),
    ]


def _tools(ask: Queries) -> list[Panel]:
    calls = ask.rate(f"{exported(TOOL_DURATION)}_count", _CHOSEN)
    web = ask.rate(f"{exported(WEB_SEARCH_DURATION)}_count")
    return [
        Panel("Calls of tools", "ops", [Query(f"sum by (tool, status) ({calls})", "{{tool}} {{status}}")]),
        Panel(
            "Time of tools, p95",
            "s",
            [Query(ask.quantile(0.95, TOOL_DURATION, _CHOSEN, by=("tool",)), "{{tool}}")],
        ),
        Panel(
            "Searches of the knowledge base, p50 and p95",
            "s",
            [
                Query(ask.quantile(share, SEARCH_DURATION, by=("mode",)), f"{{{{mode}}}} p{share * 100:g}")
                for share in (0.5, 0.95)
            ],
        ),
        Panel(
            "Searches of the web",
            "ops",
            [Query(f"sum by (provider, outcome) ({web})", "{{provider}} {{outcome}}")],
        ),
        Panel(
            "Time of the web, p95",
            "s",
            [Query(ask.quantile(0.95, WEB_SEARCH_DURATION, by=("provider",)), "{{provider}}")],
        ),
    ]


def _knowledge(ask: Queries) -> list[Panel]:
    # Every replica of the knowledge base tells the same.
    sources = f"max by (standing) ({ask.of(SOURCES)})"
    return [
        Panel("Sources by standing", "none", [Query(sources, "{{standing}}")], stacked=True),
        Panel(
            "Ingestion",
            "ops",
            [
                Query(f"sum by (status) ({ask.rate(DOCUMENTS_INGESTED)})", "documents {{status}}"),
                Query(f"sum({ask.rate(CHUNKS_EMBEDDED)})", "chunks embedded"),
            ],
        ),
        Panel(
            "Conversations",
            "short",
            [
                Query(f"sum by (name) ({ask.of(SESSIONS_ACTIVE)})", "{{name}} active"),
                Query(
                    f"sum by (result) ({ask.increase(SESSION_SUMMARIES, window='1h')})",
                    "summaries an hour: {{result}}",
                ),
            ],
        ),
    ]
