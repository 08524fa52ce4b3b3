"""Alerts of the way in and of replicas: errors, latency, queues, replicas that are missing."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator

from cluster.plan_types import ClusterPlan, Replica
from cluster.render.alerts.base import Alert
from cluster.render.queries import (
    CALLS,
    DEPLOYMENT_STATUS,
    FOR_THE_APPLICATION,
    HEALTH_CHECK_FAILURES,
    HEALTHY_REPLICAS,
    HTTP_ERRORS,
    HTTP_LATENCY_MS,
    HTTP_REQUESTS,
    WANTED_REPLICAS,
    Queries,
    equals,
    one_of,
)
from configs.schema import PlatformConfig, ScalingConfig
from serve_app.telemetry.metrics import OLDEST_QUEUED, REQUESTS_REFUSED

# Serve's numbers for a deployment's status (ray/serve/_private/deployment_state.py, Ray 2.60).
_FAILED, _UNHEALTHY, _UPDATING, _UPSCALING = 1, 2, 3, 4
_MAX_ERROR_SHARE = 0.02
_MIN_REQUESTS_PER_S = 0.05  # three a minute: below it one failed request would be a share
_MAX_REFUSED_SHARE = 0.05
# Latencies beyond it say that deadlines are near; what is slow for a user depends on what was asked.
_SLOW_SHARE_OF_DEADLINE = 0.8
_OLD_SHARE_OF_WAIT = 0.5


def alerts(config: PlatformConfig, plan: ClusterPlan, ask: Queries) -> Iterator[Alert]:
    yield _nothing_is_told(ask)
    yield _errors(ask)
    yield _slow(config, ask)
    yield from _old_queues(config, ask)
    yield from _refusing(config, plan, ask)
    yield from _missing(plan, ask)
    yield _failed(ask)
    yield _not_starting(plan, ask)
    yield _unhealthy(ask)
    yield from _at_the_limit(plan, ask)


def _nothing_is_told(ask: Queries) -> Alert:
    return Alert(
        "MantaNotSeen",
        f"absent({ask.of(DEPLOYMENT_STATUS)})",
        300,
        "critical",
        "Nobody tells how the application stands.",
        "Serve's controller runs on the head. 1. `manta cluster status`: does the head's pod run? 2. If it does and "
        "answers are served, Prometheus does not scrape it: look at the PodMonitor `ray` and at its targets. 3. If "
        "the head is gone, KubeRay makes a new one and reads the state from Redis; look at the head pod's events, "
        "and whether Redis can be reached.",
    )


def _errors(ask: Queries) -> Alert:
    of_ours = 'error_code=~"5.."'
    failed = f"sum({ask.rate(HTTP_ERRORS, FOR_THE_APPLICATION, of_ours)})"
    requests = f"sum({ask.rate(HTTP_REQUESTS, FOR_THE_APPLICATION)})"
    return Alert(
        "MantaIngressErrors",
        f"{failed} / {requests} > {_MAX_ERROR_SHARE} and {requests} > {_MIN_REQUESTS_PER_S}",
        300,
        "critical",
        "{{ $value | humanizePercentage }} of the requests fail with a 5xx.",
        "1. The dashboard `Models`: which code? 503 with `Retry-After`: no replica, see MantaReplicasMissing; 504: "
        "deadlines pass, see MantaQueueOld; 502: an engine broke, see its replica's log; 500: a fault of ours, the "
        "ingress' log has the trace id, or HAProxy found no ingress that answers. 2. Did it begin with a deploy? "
        "`manta cluster rollback`.",
    )


def _slow(config: PlatformConfig, ask: Queries) -> Alert:
    limit_ms = config.ingress.default_deadline_s * 1000 * _SLOW_SHARE_OF_DEADLINE
    return Alert(
        "MantaIngressSlow",
        f"{ask.quantile(0.99, HTTP_LATENCY_MS, FOR_THE_APPLICATION)} > {limit_ms:g}",
        600,
        "warning",
        "One request in a hundred takes {{ $value | humanize }} ms or longer, streams to their end.",
        "1. The dashboard `Models`: time in the queue, or time in the engine? 2. In the queue: MantaQueueOld says "
        "what to do. 3. In the engine: are answers longer, is the KV cache full (MantaKvCacheFull), does a node run "
        "hot (dashboard `Resources`)?",
    )


def _old_queues(config: PlatformConfig, ask: Queries) -> Iterator[Alert]:
    """One rule for all parts whose requests may wait for the same time."""
    by_limit: dict[float, list[str]] = defaultdict(list)
    for name, scaling in _queues(config):
        by_limit[scaling.max_queue_wait_s * _OLD_SHARE_OF_WAIT].append(name)
    for limit_s, found in sorted(by_limit.items()):
        waits = ask.of(OLDEST_QUEUED, one_of("name", tuple(sorted(found))))
        yield Alert(
            "MantaQueueOld",
            f"max by (name) ({waits}) > {limit_s:g}",
            120,
            "warning",
            "A request has waited for {{ $labels.name }} for {{ $value | humanize }} s.",
            "Beyond twice this requests are refused. 1. Do replicas start? MantaReplicasMissing fires if they do not "
            "come. 2. Are there as many as may be? Then raise `scaling.max_replicas`, and the pool's `max_nodes` "
            "with it (`manta cluster plan` says what it costs). 3. Is it one tenant? The dashboard `Cost` says whose "
            "requests came; `door.tenants` limits them.",
        )


def _queues(config: PlatformConfig) -> Iterator[tuple[str, ScalingConfig]]:
    """What has a queue of its own in front of it (serve_app.app, `_queueing`), by the name in its metrics."""
    for part in (*config.models, config.embedder, config.agent, *config.agents, config.reranker):
        if part is not None:
            yield part.name, part.scaling


def _refusing(config: PlatformConfig, plan: ClusterPlan, ask: Queries) -> Iterator[Alert]:
    """One rule for each part, since refusals carry the profile's name of it and calls Serve's."""
    deployments = {one.name: one.deployment for group in plan.groups for one in group.replicas}
    for name, _ in _queues(config):
        refused = f"sum by (name) ({ask.rate(REQUESTS_REFUSED, equals('name', name))})"
        calls = f"scalar(sum({ask.rate(CALLS, equals('deployment', deployments[name]))}))"
        yield Alert(
            "MantaRefusing",
            f"{refused} / {calls} > {_MAX_REFUSED_SHARE}",
            600,
            "warning",
            "{{ $labels.name }} turns away {{ $value | humanizePercentage }} of what it is asked.",
            "It is overloaded: see MantaQueueOld. Clients are told when to come back; batch requests go first.",
        )


def _missing(plan: ClusterPlan, ask: Queries) -> Iterator[Alert]:
    """Fewer than always run, for longer than a new one takes to start."""
    groups: dict[tuple[int, int], list[str]] = defaultdict(list)
    for group in plan.groups:
        wait_s = _minutes_s(2 * group.cold_start.total_s)
        for replica in group.replicas:
            if replica.min_replicas:
                groups[replica.min_replicas, wait_s].append(replica.deployment)
    for (minimum, wait_s), deployments in sorted(groups.items()):
        which = one_of("deployment", tuple(sorted(deployments)))
        healthy = f"sum by (deployment) ({ask.of(HEALTHY_REPLICAS, which)})"
        # Of a deployment without any replica nobody says that it has none; that it exists is always said.
        expected = f"count by (deployment) ({ask.of(DEPLOYMENT_STATUS, which)})"
        yield Alert(
            "MantaReplicasMissing",
            f"({healthy} or 0 * {expected}) < {minimum}",
            wait_s,
            "critical",
            f"{{{{ $labels.deployment }}}} has {{{{ $value }}}} replicas, and not {minimum}.",
            "1. `manta cluster status`: what does Serve say of the deployment, are pods Pending? 2. Pending: "
            "`kubectl get nodeclaims` and the pod's events say what Karpenter cannot buy: a quota (`manta cluster "
            "preflight`), no capacity in the zones, a limit of the pool. 3. Running and not ready: the replica's log "
            "says why it does not start: weights that cannot be fetched, memory that does not suffice.",
        )


def _failed(ask: Queries) -> Alert:
    return Alert(
        "MantaDeploymentFailed",
        f"max by (deployment) ({ask.of(DEPLOYMENT_STATUS)}) <= {_UNHEALTHY} and "
        f"max by (deployment) ({ask.of(DEPLOYMENT_STATUS)}) >= {_FAILED}",
        180,
        "critical",
        "Serve calls {{ $labels.deployment }} "
        f"{{{{ if eq $value {_FAILED}.0 }}}}failed{{{{ else }}}}unhealthy{{{{ end }}}}.",
        "1. `manta cluster status` has Serve's message. 2. After a deploy: `manta cluster rollback`. 3. Else the "
        "replicas' logs: engines that hang, weights that are broken, a store that is gone.",
    )


def _not_starting(plan: ClusterPlan, ask: Queries) -> Alert:
    longest_s = max(group.cold_start.total_s for group in plan.groups)
    # Of two clusters of Ray the one that is less far: the old one serves while the new one does not start.
    status = f"min by (deployment) ({ask.of(DEPLOYMENT_STATUS)})"
    return Alert(
        "MantaReplicasNotComing",
        f"{status} >= {_UPDATING} and {status} <= {_UPSCALING}",
        _minutes_s(max(900.0, 3 * longest_s)),
        "warning",
        "{{ $labels.deployment }} has been starting replicas for long.",
        "New replicas do not come: as MantaReplicasMissing, but those that run go on serving. A slow roll over many "
        "replicas looks the same; then nothing is to be done.",
    )


def _unhealthy(ask: Queries) -> Alert:
    return Alert(
        "MantaReplicasReplaced",
        f"sum by (deployment) ({ask.increase(HEALTH_CHECK_FAILURES, window='30m')}) > 9",
        60,
        "warning",
        "Replicas of {{ $labels.deployment }} failed {{ $value | humanize }} health checks in half an hour.",
        "Three in a row replace a replica. 1. Its log says which check: an event loop that stands, an engine that "
        "hangs or fails, weights that answer otherwise than they did. 2. Are nodes starved (dashboard `Resources`)? "
        "Then raise `scaling.health.check_timeout_s` or give the pod more CPUs.",
    )


def _at_the_limit(plan: ClusterPlan, ask: Queries) -> Iterator[Alert]:
    """As many are wanted as may be: what a policy of ours decides is never more, and Serve's own may be."""
    by_maximum: dict[int, list[str]] = defaultdict(list)
    for replica in _scaled(plan):
        by_maximum[replica.max_replicas].append(replica.deployment)
    for maximum, deployments in sorted(by_maximum.items()):
        wanted = ask.of(WANTED_REPLICAS, one_of("deployment", tuple(sorted(deployments))))
        yield Alert(
            "MantaAtItsLimit",
            f"max by (deployment) ({wanted}) >= {maximum}",
            900,
            "warning",
            f"{{{{ $labels.deployment }}}} has all the replicas that it may have: {maximum}.",
            "Load has reached what the profile allows; more of it waits (MantaQueueOld) or is turned away "
            "(MantaRefusing). Raise `scaling.max_replicas` of it, look with `manta cluster plan` what that costs at "
            "most and whether the pool's `max_nodes` and the account's quotas allow it, and apply.",
        )


def _scaled(plan: ClusterPlan) -> list[Replica]:
    """What has more than one replica at its most; one that only sleeps and wakes is always at its limit."""
    found = [replica for group in plan.groups for replica in group.replicas]
    return [replica for replica in found if replica.max_replicas > max(1, replica.min_replicas)]


def _minutes_s(seconds: float) -> int:
    """In whole minutes, up, five at least."""
    return max(5, math.ceil(seconds / 60)) * 60
