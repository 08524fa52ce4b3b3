"""The dashboard of models: the way in, queues, engines, caches."""

from __future__ import annotations

from cluster.render.dashboards.grafana import Dashboard, Panel, Query, Row, Variable
from cluster.render.queries import (
    DEPLOYMENT_STATUS,
    HEALTHY_REPLICAS,
    HTTP_ERRORS,
    HTTP_LATENCY_MS,
    HTTP_ONGOING,
    HTTP_REQUESTS,
    RUNNING,
    VLLM_ANSWER_TOKENS,
    VLLM_CACHE_HITS,
    VLLM_CACHE_QUERIES,
    VLLM_FIRST_TOKEN_S,
    VLLM_KV_CACHE,
    VLLM_PREEMPTIONS,
    VLLM_PROMPT_TOKENS,
    VLLM_QUEUE_S,
    VLLM_RUNNING,
    VLLM_TOKEN_GAP_S,
    VLLM_WAITING,
    WANTED_REPLICAS,
    Queries,
)
from serve_app.telemetry.metrics import (
    ANSWER_CACHE_ERRORS,
    ANSWER_CACHE_REQUESTS,
    CASCADE_ANSWERS,
    LLM_TOKENS,
    OLDEST_QUEUED,
    PROMPT_TOKENS,
    PROMPT_TOKENS_CACHED,
    REQUESTS_CANCELLED,
    REQUESTS_QUEUED,
    REQUESTS_REFUSED,
    REQUESTS_RUNNING,
    ROUTE_FALLBACKS,
    ROUTED_REQUESTS,
)

_CHOSEN = 'name=~"$model"'
_OF_VLLM = 'model=~"$model"'


def dashboard(ask: Queries, *, has_vllm: bool) -> Dashboard:
    """`has_vllm`: whether a model of the profile runs on vLLM."""
    rows = [
        Row("The way in", _ingress(ask)),
        Row("Queues and replicas", _queues(ask)),
        Row("Engines of our own", _own_engines(ask)),
    ]
    if has_vllm:
        rows.append(Row("vLLM", _vllm(ask)))
    rows.append(Row("Groups and caches", _routing(ask)))
    return Dashboard(
        "manta-models",
        "Manta / Models",
        "Requests to models: errors, latency, queues, tokens, caches.",
        rows,
        [Variable("model", "Model", f"label_values({ask.of(REQUESTS_RUNNING)}, name)")],
    )


def _ingress(ask: Queries) -> list[Panel]:
    requests, errors = ask.rate(HTTP_REQUESTS), ask.rate(HTTP_ERRORS)
    return [
        Panel(
            "Requests",
            "reqps",
            [Query(f"sum by (route, status_code) ({requests})", "{{route}} {{status_code}}")],
            stacked=True,
        ),
        Panel(
            "Errors",
            "percentunit",
            [Query(f"sum by (error_code) ({errors}) / scalar(sum({requests}))", "{{error_code}}")],
            thresholds=(0.01, 0.02),
            description="499 is a client that left.",
        ),
        Panel(
            "Latency, streams to their end",
            "ms",
            [Query(ask.quantile(share, HTTP_LATENCY_MS), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)],
        ),
        Panel("Requests under way", "short", [Query(f"sum({ask.of(HTTP_ONGOING)})", "open")], width=6),
        Panel(
            "Stopped before their end",
            "reqps",
            [
                Query(
                    f"sum by (name, reason) ({ask.rate(REQUESTS_CANCELLED, _CHOSEN)})", "{{name}} {{reason}}"
                )
            ],
            width=9,
        ),
        Panel(
            "Turned away",
            "reqps",
            [Query(f"sum by (name, reason) ({ask.rate(REQUESTS_REFUSED, _CHOSEN)})", "{{name}} {{reason}}")],
            width=9,
        ),
    ]


def _queues(ask: Queries) -> list[Panel]:
    return [
        Panel(
            "Running and waiting",
            "short",
            [
                Query(f"sum by (name) ({ask.of(REQUESTS_RUNNING, _CHOSEN)})", "{{name}} running"),
                Query(f"sum by (name) ({ask.of(REQUESTS_QUEUED, _CHOSEN)})", "{{name}} waiting"),
            ],
        ),
        Panel(
            "Age of the oldest that waits",
            "s",
            [Query(f"max by (name) ({ask.of(OLDEST_QUEUED, _CHOSEN)})", "{{name}}")],
        ),
        Panel(
            "Replicas",
            "none",
            [
                Query(f"sum by (deployment) ({ask.of(HEALTHY_REPLICAS)})", "{{deployment}} healthy"),
                Query(f"max by (deployment) ({ask.of(WANTED_REPLICAS)})", "{{deployment}} wanted"),
            ],
            description="Wanted is before the profile's bounds, and of what scales only.",
        ),
        Panel(
            "Status of deployments",
            "none",
            [Query(f"max by (deployment) ({ask.of(DEPLOYMENT_STATUS)})", "{{deployment}}")],
            maximum=6,
            description="1 failed, 2 unhealthy, 3 updating, 4 scaling up, 5 scaling down, 6 healthy.",
        ),
        Panel(
            "Calls in replicas",
            "short",
            [Query(f"sum by (deployment) ({ask.of(RUNNING)})", "{{deployment}}")],
        ),
    ]


def _own_engines(ask: Queries) -> list[Panel]:
    cached, read = (
        f"sum by (name) ({ask.rate(one, _CHOSEN)})" for one in (PROMPT_TOKENS_CACHED, PROMPT_TOKENS)
    )
    return [
        Panel(
            "Tokens",
            "ops",
            [Query(f"sum by (name, kind) ({ask.rate(LLM_TOKENS, _CHOSEN)})", "{{name}} {{kind}}")],
            width=12,
        ),
        Panel(
            "Prompts that were there already",
            "percentunit",
            [Query(f"{cached} / {read}", "{{name}}")],
            maximum=1,
            width=12,
        ),
    ]


def _vllm(ask: Queries) -> list[Panel]:
    def total(series: str) -> str:
        return f"sum by (model) ({ask.rate(series, _OF_VLLM)})"

    def state(series: str) -> str:
        return f"sum by (model) ({ask.of(series, _OF_VLLM)})"

    return [
        Panel(
            "Time to the first token",
            "s",
            [
                Query(
                    ask.quantile(share, VLLM_FIRST_TOKEN_S, _OF_VLLM, by=("model",)),
                    f"{{{{model}}}} p{share * 100:g}",
                )
                for share in (0.5, 0.95)
            ],
        ),
        Panel(
            "Time between tokens",
            "s",
            [
                Query(
                    ask.quantile(share, VLLM_TOKEN_GAP_S, _OF_VLLM, by=("model",)),
                    f"{{{{model}}}} p{share * 100:g}",
                )
                for share in (0.5, 0.99)
            ],
        ),
        Panel(
            "Time in the engine's queue, p95",
            "s",
            [Query(ask.quantile(0.95, VLLM_QUEUE_S, _OF_VLLM, by=("model",)), "{{model}}")],
        ),
        Panel(
            "Tokens",
            "ops",
            [
                Query(total(VLLM_PROMPT_TOKENS), "{{model}} read"),
                Query(total(VLLM_ANSWER_TOKENS), "{{model}} written"),
            ],
        ),
        Panel(
            "KV cache in use",
            "percentunit",
            [Query(f"max by (model, replica) ({ask.of(VLLM_KV_CACHE, _OF_VLLM)})", "{{model}} {{replica}}")],
            maximum=1,
            thresholds=(0.85, 0.95),
        ),
        Panel(
            "Sequences",
            "short",
            [
                Query(state(VLLM_RUNNING), "{{model}} running"),
                Query(state(VLLM_WAITING), "{{model}} waiting"),
                Query(total(VLLM_PREEMPTIONS), "{{model}} begun anew a second"),
            ],
        ),
        Panel(
            "Prefix cache: share of tokens that were there",
            "percentunit",
            [Query(f"{total(VLLM_CACHE_HITS)} / {total(VLLM_CACHE_QUERIES)}", "{{model}}")],
            maximum=1,
        ),
    ]


def _routing(ask: Queries) -> list[Panel]:
    return [
        Panel(
            "Groups: who answered",
            "reqps",
            [
                Query(
                    f"sum by (group, model, why) ({ask.rate(ROUTED_REQUESTS)})",
                    "{{group}}: {{model}} ({{why}})",
                )
            ],
            width=12,
        ),
        Panel(
            "Groups: who could not",
            "reqps",
            [
                Query(
                    f"sum by (group, model, reason) ({ask.rate(ROUTE_FALLBACKS)})",
                    "{{group}}: {{model}} {{reason}}",
                )
            ],
            width=12,
        ),
        Panel(
            "Cascades",
            "reqps",
            [
                Query(
                    f"sum by (group, model, why) ({ask.rate(CASCADE_ANSWERS)})",
                    "{{group}}: {{model}} ({{why}})",
                )
            ],
            width=12,
        ),
        Panel(
            "Answer cache",
            "reqps",
            [
                Query(f"sum by (result) ({ask.rate(ANSWER_CACHE_REQUESTS)})", "{{result}}"),
                Query(f"sum by (reason) ({ask.rate(ANSWER_CACHE_ERRORS)})", "did not answer: {{reason}}"),
            ],
            width=12,
        ),
    ]
