"""Environment variables of Serve's fast path, the same on a laptop and in a cluster: its processes read them when they
start. Files and ports of HAProxy are each place's own.
"""

from __future__ import annotations

SERVE_VARIABLES: dict[str, str] = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # Connections that clients have kept open since before an ingress replica was replaced go on to it through HAProxy's
    # old process, so the last of them may find it closing: HAProxy then asks another one if nothing of an answer came,
    # as often as it takes to count one out (3) and more.
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
    "RAY_SERVE_HAPROXY_RETRIES": "6",
    # An ingress replica that does not answer (a process that is stopped, a loop that is blocked) gets no more
    # requests after 4 s instead of up to 15: three checks of a second each, and not two of five. One that
    # cannot be connected to is out after three requests anyway, and goes on being checked four times a second.
    "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "1s",
    "RAY_SERVE_HAPROXY_HEALTH_CHECK_FALL": "3",
    # After a failed check the next ones would be given a quarter of a second: an ingress that is only busy
    # was counted out, and its requests took the way of Serve's own proxy, at twice the cost.
    "RAY_SERVE_HAPROXY_HEALTH_CHECK_FASTINTER": "1s",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray runs its workers at 15, behind everything else on the machine: a build in the background then slows
    # down every answer.
    "RAY_worker_niceness": "0",
    # glibc's allocator has up to eight arenas a core, and the threads of a process scatter over them what its requests
    # leave free: under a load that did not change an agent grew for as long as it lasted. With two it stays
    # as it is after the first minutes.
    "MALLOC_ARENA_MAX": "2",
}


def haproxy_threads(num_cpus: int) -> str:
    """HAProxy's threads on so many CPUs: Serve's default is four, and on few cores they only wake each other."""
    return str(max(1, min(4, num_cpus // 4)))
