"""An object as it changes: read, then watched, through broken connections and versions that are gone.

Whoever may read and not watch reads again at every tick. Yields states, not events: whoever looks sees the newest, and
need not know what happened to the connection.
"""

from __future__ import annotations

from collections.abc import Iterator

from kuberay.asking import FIRST_PAUSE_S, MAX_PAUSE_S
from kuberay.cluster import GONE, Cluster
from kuberay.connection import Lost
from kuberay.errors import Forbidden, Refused
from kuberay.objects import Document, Ref, at


def follow(cluster: Cluster, ref: Ref, *, until_s: float, tick_s: float = 5.0) -> Iterator[Document | None]:
    """The object now, and again when it changes, at least every `tick_s`, until `cluster.now_s()` is `until_s`.

    None: it is not there. Breaking off the loop ends the watch.

    Raises:
        Refused: the server does not let us read it.
        Unreachable: it stopped answering for longer than the cluster's patience.
    """
    pause_s, may_watch = FIRST_PAUSE_S, True
    while True:
        document = cluster.get(ref)
        yield document
        left_s = until_s - cluster.now_s()
        if left_s <= 0:
            return
        if document is None or not may_watch:
            cluster.sleep(min(tick_s, left_s, 1.0))
            continue
        try:
            yield from _changes(cluster, ref, document, until_s=until_s, tick_s=tick_s)
            pause_s = FIRST_PAUSE_S
        except Forbidden:
            may_watch = False
        except (Lost, Refused) as exc:
            if isinstance(exc, Refused) and exc.http_code != GONE:
                raise
            # Reading it again is what tells a short break from a server that is gone.
            cluster.sleep(min(pause_s, max(0.0, until_s - cluster.now_s())))
            pause_s = min(2 * pause_s, MAX_PAUSE_S)


def _changes(
    cluster: Cluster, ref: Ref, document: Document, *, until_s: float, tick_s: float
) -> Iterator[Document | None]:
    """States after this one, as long as one watch can go on from another; ends when the object is deleted."""
    version = at(document, "metadata", "resourceVersion") or ""
    while (left_s := until_s - cluster.now_s()) > 0:
        for event in cluster.watch(ref, version, min(tick_s, left_s)):
            seen = event.get("object") or {}
            version = at(seen, "metadata", "resourceVersion") or version
            if event.get("type") == "DELETED":
                return
            if event.get("type") in ("ADDED", "MODIFIED"):
                # Events of watches do say what they are, but older servers' of custom kinds did not.
                document = {"apiVersion": ref.api_version, "kind": ref.kind} | seen
            # Bookmarks as well: whoever waits for a state to last wants to look at the clock.
            yield document
        yield document
