"""Going back to a revision that served: its objects as they were, and away with what came after."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cluster.lifecycle.waves import wait_until_ready
from kuberay.cluster import Cluster
from kuberay.errors import ClusterError
from kuberay.history import Revision
from kuberay.objects import Ref, ref_of
from kuberay.patience import Patience

MANAGER = "manta"
# Their end would take along what is in them, or others' objects.
NEVER = ("Namespace", "CustomResourceDefinition", "PersistentVolumeClaim")


def go_back(
    cluster: Cluster,
    revision: Revision,
    *,
    created: Sequence[Ref],
    timeout_s: float,
    patience: Patience,
    tell: Callable[[str], None],
) -> None:
    """Apply a revision's objects again, delete those of `created` that it has not, and wait until it serves.

    Raises:
        ClusterError: an object was refused; the others were applied all the same, and are told.
        NotServing: it does not serve either.
    """
    faults: list[ClusterError] = []
    for one in revision.objects:
        try:
            # What others took over since then was ours when it served.
            found = cluster.apply(one, manager=MANAGER, force=True)
        except ClusterError as exc:
            faults.append(exc)
            tell(str(exc))
            continue
        if found.outcome != "unchanged":
            tell(f"{found.ref} is back")
    wanted = {ref_of(one) for one in revision.objects}
    for ref in reversed(created):
        if ref not in wanted and ref.kind not in NEVER and cluster.delete(ref):
            tell(f"{ref} deleted: it was new")
    if faults:
        raise ClusterError(f"{len(faults)} of {len(revision.objects)} objects were refused: {faults[0]}")
    wait_until_ready(cluster, revision.objects, timeout_s=timeout_s, patience=patience, tell=tell)
