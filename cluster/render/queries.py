"""PromQL, from the series that there are: a name that nobody exports cannot be written here.

`Queries` puts the profile's namespace into every selector, so that two Mantas in one Prometheus stay apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from cluster.series.catalogue import Series, catalogue, exported
from serve_app.telemetry.metrics import Metric

# Four scrapes at least, of which one may fail.
RATE_WINDOW = "5m"

# HAProxy tells of what it answers itself too, above all of the probes of every pod every few seconds; these carry no
# application. A `route` is its prefix for the whole application, so nothing is told by it
# (ray/serve/_private/haproxy_templates.py, Ray 2.60).
FOR_THE_APPLICATION = 'application!=""'
HTTP_REQUESTS = "ray_serve_num_http_requests_total"
HTTP_ERRORS = "ray_serve_num_http_error_requests_total"
HTTP_LATENCY_MS = "ray_serve_http_request_latency_ms"
HTTP_ONGOING = "ray_serve_num_ongoing_http_requests"
DEPLOYMENT_STATUS = "ray_serve_deployment_status"
HEALTHY_REPLICAS = "ray_serve_deployment_replica_healthy"
HEALTH_CHECK_FAILURES = "ray_serve_health_check_failures_total"
WANTED_REPLICAS = "ray_serve_autoscaling_desired_replicas"
REPLICA_START_MS = "ray_serve_replica_startup_latency_ms"
RUNNING = "ray_serve_replica_processing_queries"
# Of every call that ended, however it did: calls that were refused are among them.
CALLS = "ray_serve_deployment_processing_latency_ms_count"
NODE_CPU_PERCENT = "ray_node_cpu_utilization"
NODE_MEMORY_USED = "ray_node_mem_used"
NODE_MEMORY_TOTAL = "ray_node_mem_total"
NODE_DISK_USED = "ray_node_disk_usage"
NODE_DISK_FREE = "ray_node_disk_free"
NODE_RECEIVED_PER_S = "ray_node_network_receive_speed"
NODE_SENT_PER_S = "ray_node_network_send_speed"
GPU_PERCENT = "ray_node_gpus_utilization"
GPU_MEMORY_USED = "ray_node_gram_used"
GPU_MEMORY_FREE = "ray_node_gram_available"
ACTIVE_NODES = "ray_cluster_active_nodes"
PENDING_NODES = "ray_cluster_pending_nodes"
FAILED_NODES = "ray_cluster_failed_nodes"
OBJECT_STORE = "ray_object_store_memory"
VLLM_RUNNING = "ray_vllm_num_requests_running"
VLLM_WAITING = "ray_vllm_num_requests_waiting"
VLLM_KV_CACHE = "ray_vllm_kv_cache_usage_perc"
VLLM_PREEMPTIONS = "ray_vllm_num_preemptions_total"
VLLM_PROMPT_TOKENS = "ray_vllm_prompt_tokens_total"
VLLM_ANSWER_TOKENS = "ray_vllm_generation_tokens_total"
VLLM_FIRST_TOKEN_S = "ray_vllm_time_to_first_token_seconds"  # noqa: S105 (no password)
VLLM_TOKEN_GAP_S = "ray_vllm_inter_token_latency_seconds"  # noqa: S105
VLLM_QUEUE_S = "ray_vllm_request_queue_time_seconds"
VLLM_CACHE_QUERIES = "ray_vllm_prefix_cache_queries_total"
VLLM_CACHE_HITS = "ray_vllm_prefix_cache_hits_total"


@dataclass(frozen=True, slots=True)
class Queries:
    """Parts of expressions, within one namespace.

    Args:
        namespace: of Ray's pods; in dashboards a variable.
    """

    namespace: str

    def of(self, series: Metric | str, *matchers: str) -> str:
        """A selector. `series` is a metric of the application, or an exported name; of a histogram one of its three.

        Raises:
            KeyError: nobody exports that.
        """
        conditions = ",".join((equals("namespace", self.namespace), *matchers))
        return f"{known(series).name}{{{conditions}}}"

    def rate(self, series: Metric | str, *matchers: str, window: str = RATE_WINDOW) -> str:
        """A second's worth of a counter, or of one of a histogram's three."""
        return f"rate({self.of(series, *matchers)}[{window}])"

    def increase(self, series: Metric | str, *matchers: str, window: str) -> str:
        return f"increase({self.of(series, *matchers)}[{window}])"

    def quantile(
        self,
        share: float,
        histogram: Metric | str,
        *matchers: str,
        by: tuple[str, ...] = (),
        window: str = RATE_WINDOW,
    ) -> str:
        """A quantile over all that a histogram saw in the window, for each set of labels."""
        stem = exported(histogram) if isinstance(histogram, Metric) else histogram
        rates = self.rate(f"{stem}_bucket", *matchers, window=window)
        labels = ", ".join(("le", *by))
        return f"histogram_quantile({share}, sum by ({labels}) ({rates}))"

    def mean(self, histogram: Metric | str, *matchers: str, by: tuple[str, ...] = ()) -> str:
        """Its mean in the window, for each set of labels."""
        stem = exported(histogram) if isinstance(histogram, Metric) else histogram
        total, num = (self.rate(f"{stem}_{end}", *matchers) for end in ("sum", "count"))
        over = " by (" + ", ".join(by) + ")" if by else ""
        return f"sum{over} ({total}) / sum{over} ({num})"


def known(series: Metric | str) -> Series:
    """What is exported under that name.

    Raises:
        KeyError: nothing is; it names what was asked for.
    """
    name = exported(series) if isinstance(series, Metric) else series
    found = catalogue().get(name)
    if found is None:
        raise KeyError(f"no series is called {name}")
    return found


def equals(label: str, value: str) -> str:
    return f'{label}="{value}"'


def one_of(label: str, values: tuple[str, ...]) -> str:
    """Matches any of them. Values are names of ours, in which only the dot means something to a pattern."""
    pattern = "|".join(value.replace(".", "[.]") for value in values)
    return f'{label}=~"{pattern}"'
