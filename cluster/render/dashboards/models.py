"""The dashboard of models: the way in, queues, engines, caches."""

from __future__ import annotations

from cluster.render.dashboards.grafana import Dashboard, Panel, Row, Variable
from cluster.render.dashboards.lines import each, quantiles, total
from cluster.render.queries import (
    DEPLOYMENT_STATUS,
    FOR_THE_APPLICATION,
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
_BY_MODEL = "{{group}}: {{model}} ({{why}})"


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
    requests, errors = (ask.rate(one, FOR_THE_APPLICATION) for one in (HTTP_REQUESTS, HTTP_ERRORS))
    shares = {"{{error_code}}": f"sum by (error_code) ({errors}) / scalar(sum({requests}))"}
    latency = quantiles(ask, (0.5, 0.95, 0.99), HTTP_LATENCY_MS, FOR_THE_APPLICATION)
    stopped, refused = (
        each("name, reason", ask.rate(one, _CHOSEN)) for one in (REQUESTS_CANCELLED, REQUESTS_REFUSED)
    )
    left = "499 is a client that left."
    return [
        Panel("Requests", "reqps", each("method, status_code", requests), stacked=True),
        Panel("Errors", "percentunit", shares, thresholds=(0.01, 0.02), description=left),
        Panel("Latency, streams to their end", "ms", latency),
        Panel("Requests under way", "short", total(ask.of(HTTP_ONGOING), "open"), width=6),
        Panel("Stopped before their end", "reqps", stopped, width=9),
        Panel("Turned away", "reqps", refused, width=9),
    ]


def _queues(ask: Queries) -> list[Panel]:
    calls = each("name", ask.of(REQUESTS_RUNNING, _CHOSEN), "running")
    calls |= each("name", ask.of(REQUESTS_QUEUED, _CHOSEN), "waiting")
    oldest = each("name", ask.of(OLDEST_QUEUED, _CHOSEN), how="max")
    replicas = each("deployment", ask.of(HEALTHY_REPLICAS), "healthy")
    replicas |= each("deployment", ask.of(WANTED_REPLICAS), "wanted", how="max")
    status = each("deployment", ask.of(DEPLOYMENT_STATUS), how="max")
    wanted = "Wanted is what the policy decided, of what scales only."
    numbers = "1 failed, 2 unhealthy, 3 updating, 4 scaling up, 5 scaling down, 6 healthy."
    return [
        Panel("Running and waiting", "short", calls),
        Panel("Age of the oldest that waits", "s", oldest),
        Panel("Replicas", "none", replicas, description=wanted),
        Panel("Status of deployments", "none", status, maximum=6, description=numbers),
        Panel("Calls in replicas", "short", each("deployment", ask.of(RUNNING))),
    ]


def _own_engines(ask: Queries) -> list[Panel]:
    tokens = each("name, kind", ask.rate(LLM_TOKENS, _CHOSEN))
    cached, read = (
        f"sum by (name) ({ask.rate(one, _CHOSEN)})" for one in (PROMPT_TOKENS_CACHED, PROMPT_TOKENS)
    )
    share = {"{{name}}": f"{cached} / {read}"}
    return [
        Panel("Tokens", "ops", tokens, width=12),
        Panel("Prompts that were there already", "percentunit", share, maximum=1, width=12),
    ]


def _vllm(ask: Queries) -> list[Panel]:
    def total_of(series: str) -> str:
        return f"sum by (model) ({ask.rate(series, _OF_VLLM)})"

    first = quantiles(ask, (0.5, 0.95), VLLM_FIRST_TOKEN_S, _OF_VLLM, by="model")
    gap = quantiles(ask, (0.5, 0.99), VLLM_TOKEN_GAP_S, _OF_VLLM, by="model")
    queue = {"{{model}}": ask.quantile(0.95, VLLM_QUEUE_S, _OF_VLLM, by=("model",))}
    tokens = each("model", ask.rate(VLLM_PROMPT_TOKENS, _OF_VLLM), "read")
    tokens |= each("model", ask.rate(VLLM_ANSWER_TOKENS, _OF_VLLM), "written")
    cache = each("model, replica", ask.of(VLLM_KV_CACHE, _OF_VLLM), how="max")
    sequences = each("model", ask.of(VLLM_RUNNING, _OF_VLLM), "running")
    sequences |= each("model", ask.of(VLLM_WAITING, _OF_VLLM), "waiting")
    sequences |= each("model", ask.rate(VLLM_PREEMPTIONS, _OF_VLLM), "begun anew a second")
    hits = {"{{model}}": f"{total_of(VLLM_CACHE_HITS)} / {total_of(VLLM_CACHE_QUERIES)}"}
    return [
        Panel("Time to the first token", "s", first),
        Panel("Time between tokens", "s", gap),
        Panel("Time in the engine's queue, p95", "s", queue),
        Panel("Tokens", "ops", tokens),
        Panel("KV cache in use", "percentunit", cache, maximum=1, thresholds=(0.85, 0.95)),
        Panel("Sequences", "short", sequences),
        Panel("Prefix cache: share of tokens that were there", "percentunit", hits, maximum=1),
    ]


def _routing(ask: Queries) -> list[Panel]:
    answered, cascades = (
        each("group, model, why", ask.rate(one), legend=_BY_MODEL)
        for one in (ROUTED_REQUESTS, CASCADE_ANSWERS)
    )
    fallen = each("group, model, reason", ask.rate(ROUTE_FALLBACKS), legend="{{group}}: {{model}} {{reason}}")
    cache = each("result", ask.rate(ANSWER_CACHE_REQUESTS))
    cache |= each("reason", ask.rate(ANSWER_CACHE_ERRORS), legend="did not answer: {{reason}}")
    return [
        Panel("Groups: who answered", "reqps", answered, width=12),
        Panel("Groups: who could not", "reqps", fallen, width=12),
        Panel("Cascades", "reqps", cascades, width=12),
        Panel("Answer cache", "reqps", cache, width=12),
    ]
