"""`manta cluster rollback`: the newest revision that served before, or the one that is named, again."""

from __future__ import annotations

from pathlib import Path

import click

from cluster.lifecycle.going_back import go_back
from cluster.lifecycle.target import read_target
from kuberay.objects import ref_of
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
@timeout_option("everything to get ready", 1800.0)
def command(
    target: str,
    *,
    kubeconfig: Path | None,
    context: str | None,
    number: int | None,
    prune: bool,
    timeout_s: float,
) -> int:
    """Go back to what TARGET (a tree, or NAMESPACE/NAME) was; `status` lists the revisions."""
    wanted = read_target(target)
    tell = teller()
    with opened(kubeconfig, context) as cluster:
        history = wanted.history(cluster)
        chosen = history.pick(number)
        newer = [one for one in history.revisions() if one.number > chosen.number]
        surplus = list(dict.fromkeys(ref_of(one) for revision in reversed(newer) for one in revision.objects))
        tell(f"going back to revision {chosen.number}, of {chosen.started_at}")
        history.supersede(chosen)
        go_back(
            cluster, chosen, created=surplus if prune else [], timeout_s=timeout_s, patience=Patience(), tell=tell
        )  # fmt: skip
        kept = {ref_of(one) for one in chosen.objects}
        left = [] if prune else [ref for ref in surplus if ref not in kept and cluster.get(ref) is not None]
    for ref in left:
        out.print(
            f"newer than revision {chosen.number}, still in the cluster (--prune deletes it): {ref}",
            markup=False,
        )
    out.print(f"{wanted.namespace}/{wanted.name} serves: revision {chosen.number}", markup=False)
    return 0
