"""`manta cluster status`: what was applied, and how it is now."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click
from rich.table import Table

from cluster.lifecycle.looking import Look, look_at
from cluster.lifecycle.target import read_target
from kuberay.service_status import RayClusterStatus, ServiceStatus
from manta.commands.cluster.connection import cluster_options, opened
from manta.console import out


@click.command("status")
@click.argument("target")
@cluster_options
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON document.")
def command(target: str, *, kubeconfig: Path | None, context: str | None, as_json: bool) -> int:
    """Show TARGET (a tree, or NAMESPACE/NAME); exit code 1 when it does not serve or something is not ready."""
    wanted = read_target(target)
    with opened(kubeconfig, context) as cluster:
        look = look_at(cluster, wanted)
    if as_json:
        click.echo(json.dumps(_document(look), indent=2))
    else:
        _show(look, f"{wanted.namespace}/{wanted.name}")
    return 0 if look.is_well else 1


def _show(look: Look, name: str) -> None:
    if look.service is None:
        out.print(f"RayService {name} is not there", markup=False)
    else:
        out.print(f"RayService {name} is {look.service}", markup=False)
        _show_clusters(look.service)
    for number, reason in enumerate(look.reasons, 1):
        out.print(f"{number:3}. {reason}", markup=False)
    seen = look.num_objects - len(look.not_read)
    out.print(f"{seen - len(look.not_ready)} of {seen} objects are as they should be")
    if look.not_read:
        out.print(f"not ours to look at: {', '.join(look.not_read)}", markup=False)
    for ref, waits_for in look.not_ready:
        out.print(f"  {ref}: {waits_for}", markup=False)
    for one in look.revisions:
        note = f": {one.note}" if one.note else ""
        out.print(
            f"revision {one.number}, {one.started_at}, {len(one.objects)} objects, {one.state}{note}",
            markup=False,
        )


def _show_clusters(service: ServiceStatus) -> None:
    out.print(
        f"version {service.version} (seen: {service.seen_version}), {service.endpoints} pods take requests"
    )
    table = Table(box=None, pad_edge=False)
    for column in ("RayCluster", "", "application", "state", "message"):
        table.add_column(column, overflow="fold")
    for which, cluster in (("active", service.active), ("pending", service.pending)):
        if cluster is None:
            continue
        table.add_row(cluster.name, _shares(which, cluster), "", "", "")
        for one in cluster.applications:
            table.add_row("", "", one.name, one.status, one.message)
    out.print(table)


def _shares(which: str, cluster: RayClusterStatus) -> str:
    words = [which]
    if cluster.ready_workers is not None and cluster.desired_workers is not None:
        words.append(f"{cluster.ready_workers} of {cluster.desired_workers} workers")
    if cluster.traffic_percent is not None:
        words.append(f"{cluster.traffic_percent} % of the traffic")
    return ", ".join(words)


def _document(look: Look) -> dict[str, object]:
    return {
        "is_well": look.is_well,
        "service": dataclasses.asdict(look.service) if look.service else None,
        "reasons": list(look.reasons),
        "num_objects": look.num_objects,
        "not_ready": [{"object": str(ref), "waits_for": waits_for} for ref, waits_for in look.not_ready],
        "not_read": list(look.not_read),
        "revisions": [
            {"number": one.number, "state": one.state, "started_at": one.started_at, "note": one.note}
            for one in look.revisions
        ],
    }
