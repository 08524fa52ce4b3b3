"""`manta cluster delete`: what was applied, in the opposite order, and what stays behind and costs money."""

from __future__ import annotations

from pathlib import Path

import click

from cluster.lifecycle.deleting import delete_waves
from cluster.lifecycle.remains import Found, look
from cluster.lifecycle.target import namespaces_of, read_target
from configs.prices import AS_OF, REGION, USD_PER_HOUR
from kuberay.errors import ClusterError
from manta.commands.cluster.connection import cluster_options, opened, teller, timeout_option
from manta.console import out


@click.command("delete")
@click.argument("target")
@cluster_options
@click.option(
    "--data",
    "with_data",
    is_flag=True,
    help="Namespaces and claims of volumes as well, with what is in them.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@timeout_option("each wave to be gone", 900.0)
def command(
    target: str, *, kubeconfig: Path | None, context: str | None, with_data: bool, yes: bool, timeout_s: float
) -> int:
    """Delete TARGET (a tree, or NAMESPACE/NAME): last wave first. Volumes and namespaces stay without --data."""
    wanted = read_target(target)
    with opened(kubeconfig, context) as cluster:
        history = wanted.history(cluster)
        waves = wanted.everything(history.revisions())
        num_objects = sum(map(len, waves))
        if not yes:
            data = ", data included" if with_data else ""
            click.confirm(
                f"Delete {num_objects} objects of {wanted.namespace}/{wanted.name}{data}?",
                abort=True,
                err=True,
            )
        done = delete_waves(cluster, waves, with_data=with_data, timeout_s=timeout_s, tell=teller())
        if not done.left and not wanted.is_part:
            history.forget()
        found = look(cluster, namespaces_of(waves, wanted.namespace), _price)
    out.print(f"{done.num_deleted} of {num_objects} objects were deleted", markup=False)
    for ref in done.kept:
        out.print(f"kept: {ref}", markup=False)
    _tell_costs(found)
    if done.left:
        first = f"{done.left[0]}" + (f" and {len(done.left) - 1} more" if len(done.left) > 1 else "")
        raise ClusterError(
            f"still there after {timeout_s:.0f} s: {first}; what they need was not touched; run it again"
        )
    return 0


def _price(instance_type: str, capacity: str) -> float | None:
    return USD_PER_HOUR.get(instance_type) if capacity == "on-demand" else None


def _tell_costs(found: Found) -> None:
    for one in found.remains:
        price = f", ${one.usd_per_hour:.2f} an hour ({REGION}, {AS_OF})" if one.usd_per_hour else ""
        out.print(f"still costs: {one.ref}: {one.what}{price}", markup=False)
    for reason in found.not_read:
        out.print(f"may cost, not seen: {reason}", markup=False)
    out.print(
        "outside Kubernetes, and not looked at: the EKS cluster, NAT gateways, Redis, databases, buckets, domains; "
        "`terraform destroy` ends what terraform made (docs/deploy.md)"
    )
