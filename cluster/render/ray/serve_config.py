"""`serveConfigV2`: the profile as Serve reads it, with where each deployment runs.

The same settings that a laptop's `serve run` takes. Left out are `cluster` and `litellm`, which the application does
not read: with them, a change of a pool's size would replace every replica. Added is, for each deployment, the worker
group that it runs in and the memory that it takes there.
"""

from __future__ import annotations

from typing import Any

from cluster.plan_types import ClusterPlan, Replica, WorkerGroup
from cluster.render import names
from cluster.render.objects import Document
from cluster.render.text import as_yaml
from configs.schema import PlatformConfig

# What only this renderer and the gateway's read.
_NOT_THE_APPLICATIONS = frozenset({"cluster", "litellm"})


def serve_config(config: PlatformConfig, plan: ClusterPlan) -> Document:
    """The Serve config file's document."""
    options = dict(plan.serve_options)
    # A pod's own loopback would be reached by nobody. NetworkPolicies say who reaches the pod.
    options["http_options"] = dict(options.get("http_options") or {}) | {
        "host": "0.0.0.0",  # noqa: S104 (inside a pod)
        "port": names.HTTP_PORT,
    }
    # HAProxy on every pod that has a replica: traffic goes in wherever the Service sends it.
    options["proxy_location"] = "EveryNode"
    args = config.model_dump(mode="json", exclude_unset=True, exclude=set(_NOT_THE_APPLICATIONS))
    deployments = [_placed(replica, group) for group in plan.groups for replica in group.replicas]
    return options | {"applications": [dict(plan.application) | {"args": args, "deployments": deployments}]}


def serve_config_text(config: PlatformConfig, plan: ClusterPlan) -> str:
    """As the RayService carries it."""
    return as_yaml([serve_config(config, plan)])


def actor_options(replica: Replica, group: WorkerGroup) -> dict[str, Any]:
    """What Ray reserves for a replica. It replaces what the application says of it, so it says all of it again."""
    options: dict[str, Any] = {"num_cpus": replica.num_cpus, "memory": replica.memory_bytes}
    if replica.num_gpus:
        options["num_gpus"] = replica.num_gpus
    if replica.num_neuron_cores:
        options["resources"] = {"neuron_cores": replica.num_neuron_cores}
    return options | {"label_selector": {names.RAY_GROUP_LABEL: group.name}}


def _placed(replica: Replica, group: WorkerGroup) -> dict[str, Any]:
    return {"name": replica.deployment, "ray_actor_options": actor_options(replica, group)}
