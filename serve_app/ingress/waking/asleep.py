"""Whether a deployment sleeps, as its handle's router has heard from the controller.

Serve 2.60 has no public way to ask: `running_replicas_populated` stays true once it was. This is the only
place that looks inside a handle; tests/cluster/test_scaling.py notices when a Ray release moves things.
"""

from __future__ import annotations

from typing import Any


def is_asleep(handle: Any) -> bool:
    """Whether no replica of a DeploymentHandle's deployment runs, or none is known yet.

    The handle has its router once `options` or a method was called on it.
    """
    router = getattr(getattr(handle, "_router", None), "_asyncio_router", None)
    if router is None:
        return True
    requests = router._request_router  # noqa: SLF001 (see above)
    if (
        requests is None
    ):  # made when the deployment's settings arrive; replicas known before are kept until then
        return not router._running_replicas  # noqa: SLF001
    return not requests.curr_replicas
