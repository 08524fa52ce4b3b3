"""What the head of a Ray cluster that serves needs to live long: its state kept elsewhere, and nobody to disrupt it.

Where the files bring nodes of Karpenter's, something will disrupt them, and what the head lacks is a warning; so it is
where a budget or a Redis among the files says that this shall last. Elsewhere, in an example, it is a note.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cluster.lint.findings import Finding
from cluster.lint.manifest import Manifest, at, mapping, mappings, note, warning
from cluster.lint.pools import Pool, candidates, pools_of
from cluster.lint.rules.kuberay_cluster import has_fault_tolerance
from cluster.lint.world import Pods, RayCluster, World, same_namespace, selects

_KEEP = "karpenter.sh/do-not-disrupt"
_REDIS = 6379
Say = Callable[[str, Manifest, tuple[str | int, ...], str, str], Finding]


def check(world: World) -> Iterator[Finding]:
    pools = pools_of(world)
    for cluster in world.ray_clusters:
        if cluster.owner.kind not in ("RayCluster", "RayService"):
            continue
        where = candidates(cluster.head.pods, pools)
        say: Say = warning if where else note
        if cluster.owner.kind == "RayService":
            shall_last: Say = warning if where or _shall_last(world, cluster) else note
            yield from _state(cluster, shall_last)
            yield from _work(cluster, shall_last)
        yield from _disruption(cluster, where)
        yield from _budget(world, cluster.head.pods, say)


def _state(cluster: RayCluster, say: Say) -> Iterator[Finding]:
    if not has_fault_tolerance(cluster):
        message = "no GCS fault tolerance: when the head ends, so does every replica, and nothing is served meanwhile"
        fix = "set gcsFaultToleranceOptions with a Redis"
        yield say("head/fault-tolerance", cluster.owner, cluster.head.path, message, fix)


def _shall_last(world: World, cluster: RayCluster) -> bool:
    """Whether the files say so: state kept elsewhere, a Redis for it, or a budget."""
    near = [each for each in world.manifests if same_namespace(each.namespace, cluster.owner.namespace)]
    has_redis = any(each.kind == "Service" and _REDIS in _ports(each) for each in near)
    has_budget = any(each.kind == "PodDisruptionBudget" for each in near)
    return has_fault_tolerance(cluster) or has_redis or has_budget


def _ports(service: Manifest) -> list[object]:
    return [port.get("port") for _, port in mappings(service.get("spec", "ports"))]


def _work(cluster: RayCluster, say: Say) -> Iterator[Finding]:
    cpus = cluster.head.start_params.get("num-cpus")
    told = mapping(cluster.head.spec.get("resources")).get("CPU")
    if str(cpus if cpus is not None else told) not in ("0", "0.0") and cluster.workers:
        message = "the head takes replicas too: one that uses up its memory ends the cluster"
        path = (*cluster.head.path, "rayStartParams")
        yield say("head/work", cluster.owner, path, message, 'set num-cpus: "0"')


def _disruption(cluster: RayCluster, pools: list[Pool]) -> Iterator[Finding]:
    pods = cluster.head.pods
    path = (*pods.path, "metadata", "annotations")
    value = pods.annotations.get(_KEEP)
    if not pools:
        return
    if value != "true":
        message = (
            f"nothing keeps Karpenter from taking the head's node away: {_KEEP} is {value or 'not there'}"
        )
        yield warning("head/disruption", cluster.owner, path, message, f'annotate the head: {_KEEP}: "true"')
        return
    for pool in pools:
        lifetime = pool.manifest.get("spec", "template", "spec", "expireAfter")
        grace = pool.manifest.get("spec", "template", "spec", "terminationGracePeriod")
        if grace and lifetime != "Never":
            message = f"NodePool {pool.name} ends its nodes {grace} after they expire, even with {_KEEP}"
            where = ("spec", "template", "spec", "terminationGracePeriod")
            yield warning(
                "head/expiry", pool.manifest, where, message, "give the head a pool with expireAfter: Never"
            )
    if all(_is_spot_only(pool) for pool in pools):
        message = "the head's nodes are all spot ones, which AWS takes back at two minutes' notice"
        yield warning(
            "head/spot",
            cluster.owner,
            pods.spec_path,
            message,
            "let it run on demand: karpenter.sh/capacity-type",
        )


def _is_spot_only(pool: Pool) -> bool:
    kinds = [
        each.get("values") for each in pool.requirements if each.get("key") == "karpenter.sh/capacity-type"
    ]
    return kinds == [["spot"]]


def _budget(world: World, pods: Pods, say: Say) -> Iterator[Finding]:
    budgets = world.of("PodDisruptionBudget")
    if any(selects(at(budget.data, "spec", "selector"), pods) for budget in budgets):
        return
    message = f"no PodDisruptionBudget takes {pods.what}: a drain of its node asks nobody"
    yield say("head/budget", pods.owner, pods.path, message, "add one that selects ray.io/node-type: head")
