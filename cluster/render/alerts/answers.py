"""Alerts of what answers are like and what they cost: the gate, degraded answers, budgets, sources, lost traces."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.render.alerts.base import Alert
from cluster.render.queries import Queries, equals, one_of
from cluster.series.catalogue import exported
from configs.schema import PlatformConfig
from serve_app.agent.states import Flag
from serve_app.agents.run import Flag as RunFlag
from serve_app.evaluation.gate import AnswerVerdict
from serve_app.limits.base import Kind
from serve_app.messages import Standing
from serve_app.telemetry.metrics import (
    AGENT_DEGRADED,
    AGENT_DURATION,
    BUDGET_USED,
    GATE_VERDICTS,
    SOURCES,
    SPANS_DROPPED,
    TENANT_REFUSED,
)

_MAX_FAILED_SHARE = 0.3
_MIN_ANSWERS_PER_S = 0.01
_MAX_DEGRADED_SHARE = 0.2
_NEARLY = 0.9
# Flags that say that something did not work, and not only what kind of answer it is.
_BROKEN = (
    Flag.KB_UNAVAILABLE,
    Flag.LEXICAL_ONLY,
    Flag.WEB_UNAVAILABLE,
    Flag.SESSION_UNAVAILABLE,
    Flag.MODEL_FALLBACK,
    Flag.INTERRUPTED,
    Flag.DEADLINE,
    Flag.TASK_UNAVAILABLE,
    RunFlag.TOOL_FAILED,
    RunFlag.TOOLS_UNAVAILABLE,
)


def alerts(config: PlatformConfig, ask: Queries) -> Iterator[Alert]:
    yield from _gate(config, ask)
    yield _slow_answers(config, ask)
    yield _degraded(ask)
    if _has_budgets(config):
        yield from _budgets(ask)
    if config.knowledge.sources:
        yield from _sources(ask)
    yield Alert(
        "MantaTracesLost",
        f"sum({ask.rate(SPANS_DROPPED, window='15m')}) > 0",
        900,
        "warning",
        "{{ $value | humanize }} spans a second do not reach the collector.",
        "No request is harmed. 1. Does the collector run, and is its queue full (`otelcol_exporter_queue_size`)? 2. "
        "Is what it sends to reachable? Its log names the exporter.",
    )


def _gate(config: PlatformConfig, ask: Queries) -> Iterator[Alert]:
    if config.agent.judge is None:
        return
    stage = equals("stage", "answer")
    wanting = one_of("verdict", (AnswerVerdict.UNFAITHFUL, AnswerVerdict.OFF_TOPIC))
    silent = equals("verdict", AnswerVerdict.UNKNOWN)

    def verdicts(*matchers: str) -> str:
        return f"sum by (agent) ({ask.rate(GATE_VERDICTS, stage, *matchers, window='15m')})"

    failed, judged, unknown = verdicts(wanting), verdicts(), verdicts(silent)
    enough = f"{judged} > {_MIN_ANSWERS_PER_S}"
    yield Alert(
        "MantaGateFailures",
        f"{failed} / {judged} > {_MAX_FAILED_SHARE} and {enough}",
        900,
        "warning",
        "The gate finds {{ $value | humanizePercentage }} of {{ $labels.agent }}'s answers wanting.",
        "1. Did the model, the embedder or the calibration change? Roll back. 2. Are sources stale or failing "
        "(MantaSourcesFailing)? 3. `manta evaluate` on the golden questions says whether answers or questions "
        "changed.",
    )
    yield Alert(
        "MantaJudgeSilent",
        f"{unknown} / {judged} > {_MAX_FAILED_SHARE} and {enough}",
        900,
        "warning",
        "The judge gives no verdict on {{ $value | humanizePercentage }} of {{ $labels.agent }}'s answers.",
        f"The judge is `{config.agent.judge}`: does it answer, and within `agent.budget.evaluate_s`? Until it does "
        f"answers leave as `agent.gate.when_unevaluated` says ({config.agent.gate.when_unevaluated}).",
    )


def _slow_answers(config: PlatformConfig, ask: Queries) -> Alert:
    limit_s = 0.9 * config.agent.budget.total_s
    agent = equals("agent", config.agent.name)
    return Alert(
        "MantaAnswersSlow",
        f"{ask.quantile(0.95, AGENT_DURATION, agent)} > {limit_s:g}",
        600,
        "warning",
        "One answer in twenty takes {{ $value | humanize }} s or longer.",
        "Answers are cut at `agent.budget.total_s`. The dashboard `Agents` has the stages: searches, the model, the "
        "judge, the web. A trace of a slow answer says which one.",
    )


def _degraded(ask: Queries) -> Alert:
    broken = f"sum by (agent, reason) ({ask.rate(AGENT_DEGRADED, one_of('reason', _BROKEN), window='15m')})"
    answers = f"sum by (agent) ({ask.rate(f'{exported(AGENT_DURATION)}_count', window='15m')})"
    return Alert(
        "MantaAnswersDegraded",
        f"{broken} / on (agent) group_left {answers} > {_MAX_DEGRADED_SHARE}",
        900,
        "warning",
        "{{ $value | humanizePercentage }} of {{ $labels.agent }}'s answers are made without something: "
        "{{ $labels.reason }}.",
        "The flag says what is missing: `lexical_only` the embedder, `kb_unavailable` the store, `web_unavailable` "
        "the web search, `session_unavailable` Redis, `model_fallback` and `interrupted` the chat model, `deadline` "
        "time, `tool_failed` a tool's server. Its own alert or log says why.",
    )


def _has_budgets(config: PlatformConfig) -> bool:
    door = config.door
    limits = [door.tenant_limits, *door.model_limits.values()]
    for tenant in door.tenants:
        limits += [tenant.limits, *tenant.models.values()]
    return any(one.usd_per_day is not None or one.usd_per_month is not None for one in limits)


def _budgets(ask: Queries) -> Iterator[Alert]:
    used = f"max by (scope, period) ({ask.of(BUDGET_USED)})"
    spent = one_of("limit", (Kind.DAY, Kind.MONTH))
    refused = f"sum by (tenant, limit) ({ask.increase(TENANT_REFUSED, spent, window='10m')})"
    yield Alert(
        "MantaBudgetOverdrawn",
        f"{refused} > 0",
        60,
        "warning",
        "{{ $labels.tenant }} has spent its money for the {{ $labels.limit }}; {{ $value | humanize }} requests were "
        "refused.",
        "Its requests get 429 `insufficient_quota` until the period ends (UTC). 1. The dashboard `Cost`: is it use, "
        "or a loop of somebody's? 2. Use: raise `door.tenants` and apply; it holds from the next request on. 3. A "
        "loop: revoke its key (`manta keys revoke`).",
    )
    yield Alert(
        "MantaBudgetNearlySpent",
        f"{used} > {_NEARLY}",
        60,
        "warning",
        "{{ $labels.scope }} has used {{ $value | humanizePercentage }} of its money for the {{ $labels.period }}.",
        "Tell whoever it belongs to; beyond it requests are refused. As MantaBudgetOverdrawn.",
    )


def _sources(ask: Queries) -> Iterator[Alert]:
    def having(standing: Standing) -> str:
        return f"max({ask.of(SOURCES, equals('standing', standing))}) > 0"

    yield Alert(
        "MantaSourcesFailing",
        having(Standing.FAILING),
        1800,
        "warning",
        "{{ $value }} sources of the knowledge base cannot be synced.",
        "`manta kb status` names them with the reason: a bucket that refuses, a site that is gone, documents that "
        "cannot be read. Answers go on from what was there, flagged `stale_source`.",
    )
    yield Alert(
        "MantaSourcesStale",
        having(Standing.STALE),
        6 * 3600,
        "warning",
        "{{ $value }} sources of the knowledge base have been stale for hours.",
        "Does the ingestion run? `kubectl get scaledobject` where there is one, `knowledge.currency` else; `manta kb "
        "sync NAME` begins a sync at once.",
    )
