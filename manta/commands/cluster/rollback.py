"""`manta cluster rollback`: the newest revision that served before, or the one that is named, again."""

from __future__ import annotations

from pathlib import Path

import click

from cluster.lifecycle.going_back import roll_back
from cluster.lifecycle.target import read_target
from kuberay.patience import Patience
from manta.commands.cluster.connection import cluster_options, opened, teller, timeout_option
from manta.console import out


@click.command("rollback")
@click.argument("target")
@cluster_options
@click.option(
    "--to",
    "number",
    type=click.IntRange(min=1),
    default=None,
    help="Revision; default: the one that served before.",
)
@click.option("--prune", is_flag=True, help="Delete what newer revisions had and that one has not.")
@click.option("--access", is_flag=True, help="Roles and their bindings too, where that revision has others.")
@timeout_option("everything to get ready", 1800.0)
def command(
    target: str,
    *,
    kubeconfig: Path | None,
    context: str | None,
    number: int | None,
    prune: bool,
    access: bool,
    timeout_s: float,
) -> int:
    """Go back to what TARGET (a tree, a part of one, or NAMESPACE/NAME) was; `status` lists the revisions."""
    wanted = read_target(target)
    with opened(kubeconfig, context) as cluster:
        done = roll_back(
            cluster,
            wanted,
            number=number,
            prune=prune,
            access=access,
            timeout_s=timeout_s,
            patience=Patience(),
            tell=teller(),
        )
    for ref in done.left:
        out.print(
            f"newer than revision {done.revision.number}, still in the cluster (--prune deletes it): {ref}",
            markup=False,
        )
    out.print(f"{wanted.namespace}/{wanted.name} serves: revision {done.revision.number}", markup=False)
    return 0
