"""`manta cluster wait`: until what was applied serves, with the reasons while it does not."""

from __future__ import annotations

from pathlib import Path

import click

from cluster.lifecycle.target import read_target
from cluster.lifecycle.waves import wait_until_ready
from kuberay.patience import Patience
from manta.commands.cluster.connection import cluster_options, opened, teller, timeout_option
from manta.console import out


@click.command("wait")
@click.argument("target")
@cluster_options
@timeout_option("everything to get ready", 1800.0)
def command(target: str, *, kubeconfig: Path | None, context: str | None, timeout_s: float) -> int:
    """Wait until TARGET (a tree, or NAMESPACE/NAME) serves; exit code 2 with the reasons if it does not."""
    wanted = read_target(target)
    with opened(kubeconfig, context) as cluster:
        revisions = wanted.history(cluster).revisions()
        objects = [one for wave in wanted.objects(revisions) for one in wave]
        wait_until_ready(cluster, objects, timeout_s=timeout_s, patience=Patience(), tell=teller())
    out.print(f"{wanted.namespace}/{wanted.name} serves", markup=False)
    return 0
