"""`manta cluster apply`: a rendered tree into a cluster, wave by wave, and back if it does not come up."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from cluster.lifecycle.applying import Options, apply_tree, dry_run
from cluster.lifecycle.checking import Checked
from cluster.lifecycle.tree import read_tree
from kuberay.errors import ClusterError
from manta.commands.cluster.connection import cluster_options, opened, teller, timeout_option
from manta.console import err, out


@click.command("apply")
@click.argument("tree", type=click.Path(path_type=Path))
@cluster_options
@timeout_option("each wave to get ready", 1800.0)
@click.option(
    "--dry-run", "dry", type=click.Choice(["server"]), default=None, help="Ask the server, change nothing."
)
@click.option("--force-conflicts", is_flag=True, help="Take fields over from other field managers.")
@click.option("--skip-missing-kinds", is_flag=True, help="Leave out what the cluster has no kind for.")
@click.option("--prune", is_flag=True, help="Delete what the last revision had and TREE has not.")
@click.option(
    "--wait/--no-wait", default=True, help="Whether each wave is ready before the next; default: yes."
)
@click.option(
    "--rollback/--no-rollback", default=True, help="Whether to go back if it does not come up; default: yes."
)
def command(
    tree: Path,
    *,
    kubeconfig: Path | None,
    context: str | None,
    timeout_s: float,
    dry: Literal["server"] | None,
    force_conflicts: bool,
    skip_missing_kinds: bool,
    prune: bool,
    wait: bool,
    rollback: bool,
) -> int:
    """Apply TREE, as `manta cluster render` wrote it: a folder with a kustomization, or a file of manifests.

    Before anything is applied the server is asked about every object; a refusal of one leaves the cluster as it is.
    """
    wanted = read_tree(tree)
    options = Options(
        timeout_s=timeout_s, force=force_conflicts, skip_missing=skip_missing_kinds, wait=wait, roll_back=rollback,
        prune=prune,
    )  # fmt: skip
    with opened(kubeconfig, context) as cluster:
        if dry:
            return _told(dry_run(cluster, wanted, options))
        outcome = apply_tree(cluster, wanted, options, teller())
    for ref in outcome.surplus:
        out.print(f"not in the tree any more, still in the cluster (--prune deletes it): {ref}", markup=False)
    state = "serves" if wait and wanted.services else "is applied"
    out.print(f"{wanted.namespace}/{wanted.name} {state}: revision {outcome.revision}", markup=False)
    return 0


def _told(checked: Checked) -> int:
    for one in checked.applied:
        out.print(f"{one.ref} {one.outcome} (dry run)", markup=False)
        for warning in one.warnings:
            err.print(f"{one.ref}: the server warns: {warning}", markup=False, style="yellow")
    for reason in checked.unasked:
        out.print(f"not checked: {reason}", markup=False)
    for fault in checked.refused:
        err.print(str(fault), markup=False, style="red")
    if checked.refused:
        raise ClusterError(
            f"the server would refuse {len(checked.refused)} objects; nothing was applied{checked.way_out}"
        )
    return 0
