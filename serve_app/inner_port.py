"""The port that Serve opens in every replica for calls of other replicas, on this node's own address alone.

Serve binds it to every interface, asks nobody who they are, and unpickles what it is sent: whoever reaches the port
runs code in the replica. Its callers are told the node's address and come by that, so nothing else needs to answer:
on a laptop it is loopback, in a cluster the pod's own, which the network policies guard. Serve has no setting for it;
this replaces the one function that it binds with, by the name that Ray 2.60 gives it. A test on a real Ray fails when
that moves, and a line in the log says so.
"""

from __future__ import annotations

import logging
from typing import Any

logger = logging.getLogger("manta.inner_port")

_EVERYWHERE = "[::]:"


def narrow(host: str) -> None:
    """Bind the port of this process to `host`, which must come before the replica's constructor has returned."""
    replica: Any
    try:
        from ray.serve._private import replica

        bind = replica.add_port_to_grpc_server
    except (ImportError, AttributeError) as exc:
        logger.warning("this replica takes calls on every interface (%s: %s)", exc.__class__.__name__, exc)
        return
    where = f"[{host}]:" if ":" in host else f"{host}:"

    def bind_here(server: Any, address: str) -> int:
        port: int = bind(server, address.replace(_EVERYWHERE, where, 1))
        return port

    replica.add_port_to_grpc_server = bind_here
