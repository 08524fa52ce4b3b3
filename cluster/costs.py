"""What a plan costs an hour, and which of EC2's quotas it needs. Pure.

Nodes are bought whole. Where a price is not known, no sum that needs it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cluster.groups import nodes_of
from cluster.plan_types import CostLine, Fit, Money, QuotaNeed, WorkerGroup
from configs.instances import Instance
from configs.schema import PoolConfig

# US dollars an hour for the control plane of a Kubernetes version in standard support: AWS's containers blog, "Amazon
# EKS extended support for Kubernetes versions pricing" (unchanged for standard support; read 2026-11).
CONTROL_PLANE_USD = 0.10
NOT_COUNTED = (
    "the nodes of controllers and of Prometheus, load balancers, NAT gateways, EBS volumes, traffic, ElastiCache, RDS, "
    "OpenSearch domains, logs, and the fee of EKS Auto Mode"
)

# EC2's quotas, in vCPUs: how a family begins -> code and name, on demand and on spot; the first that fits. Codes:
# Service Quotas' list for `ec2`; names: "Spot Instance quotas" of the EC2 User Guide (read 2026-11).
_QUOTAS: dict[tuple[str, ...], tuple[tuple[str, str], tuple[str, str]]] = {
    ("inf",): (
        ("L-1945791B", "Running On-Demand Inf instances"),
        ("L-B5D1601B", "All Inf Spot Instance Requests"),
    ),
    ("trn",): (
        ("L-2C3B7624", "Running On-Demand Trn instances"),
        ("L-6B0D517C", "All Trn Spot Instance Requests"),
    ),
    ("g",): (
        ("L-DB2E81BA", "Running On-Demand G and VT instances"),
        ("L-3819A6DF", "All G and VT Spot Instance Requests"),
    ),
    ("p5",): (
        ("L-417A185B", "Running On-Demand P instances"),
        ("L-C4BD4855", "All P5 Spot Instance Requests"),
    ),
    ("p",): (
        ("L-417A185B", "Running On-Demand P instances"),
        ("L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests"),
    ),
    ("c", "m", "r"): (
        ("L-1216C47A", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances"),
        ("L-34B43A08", "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests"),
    ),
}


def control_plane() -> CostLine:
    """What EKS itself costs."""
    money = Money(CONTROL_PLANE_USD, CONTROL_PLANE_USD)
    return CostLine("EKS control plane", money, money, money)


def group_cost(group: WorkerGroup, pool: PoolConfig, num_zones: int) -> CostLine:
    """A group's nodes, places that are kept free included."""
    counts = (group.min_pods, group.expected_pods, group.max_pods)
    least, expected, most = (
        _money(group.best, pool, count + group.spare_pods, num_zones) for count in counts
    )
    return CostLine(group.name, least, expected, most)


def nodes_cost(name: str, fit: Fit, pool: PoolConfig, nodes: tuple[int, int, int]) -> CostLine:
    """So many nodes of one type: at least, expected, at most."""
    least, expected, most = (_of_nodes(fit, pool, count) for count in nodes)
    return CostLine(name, least, expected, most)


def total(lines: Iterable[CostLine]) -> CostLine:
    """The sum, each part of it known only where all of its parts are."""
    lines = tuple(lines)
    return CostLine(
        "total",
        _sum([line.minimum for line in lines]),
        _sum([line.expected for line in lines]),
        _sum([line.maximum for line in lines]),
    )


def quotas(bought: Iterable[tuple[Instance, int, bool]]) -> tuple[QuotaNeed, ...]:
    """vCPUs of each quota.

    Args:
        bought: what is needed at most, bought the preferred way: instance type, nodes, whether on spot.
    """
    needed: dict[tuple[str, str], int] = {}
    for instance, num_nodes, is_spot in bought:
        key = quota_of(instance, is_spot=is_spot)
        needed[key] = needed.get(key, 0) + num_nodes * instance.num_vcpus
    return tuple(QuotaNeed(code, name, vcpus) for (code, name), vcpus in sorted(needed.items()) if vcpus)


def quota_of(instance: Instance, *, is_spot: bool) -> tuple[str, str]:
    """Code and name of the quota that an instance counts against."""
    for beginnings, (on_demand, spot) in _QUOTAS.items():
        if instance.family.startswith(beginnings):
            return spot if is_spot else on_demand
    raise AssertionError(f"no quota is known for {instance.family}")


def _money(fit: Fit, pool: PoolConfig, num_pods: int, num_zones: int) -> Money:
    return _of_nodes(fit, pool, nodes_of(num_pods, fit.pods_per_node, num_zones))


def _of_nodes(fit: Fit, pool: PoolConfig, num_nodes: int) -> Money:
    if num_nodes == 0:
        return Money(0.0, 0.0)
    spot = fit.spot_usd_per_hour if "spot" in pool.capacity else fit.usd_per_hour
    return Money(
        None if fit.usd_per_hour is None else fit.usd_per_hour * num_nodes,
        None if spot is None else spot * num_nodes,
    )


def _sum(moneys: Sequence[Money]) -> Money:
    return Money(
        _sum_or_none([money.on_demand for money in moneys]), _sum_or_none([money.spot for money in moneys])
    )


def _sum_or_none(amounts: Sequence[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None
