"""What Serve's controller says of this application's deployments."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from ray import serve

from serve_app.health.readiness import Explain
from serve_app.health.reasons import reason_of


def explain_by_deployment(deployments: Mapping[str, str]) -> Explain:
    """Reasons of the controller, for whoever is asked and does not answer.

    Args:
        deployments: dependency -> its deployment.

    Returns:
        A function that gives dependency -> reason for those whose deployment is not healthy. It waits for the
        controller for as long as that takes.
    """

    async def explain() -> dict[str, str]:
        application = serve.get_replica_context().app_name
        # On a thread, because Serve's client waits for the controller.
        status = await asyncio.to_thread(serve.status)
        states = status.applications[application].deployments
        unhealthy = {name: state for name, state in states.items() if state.status.value != "HEALTHY"}
        return {
            dependency: reason_of(unhealthy[name].status.value, unhealthy[name].message)
            for dependency, name in deployments.items()
            if name in unhealthy
        }

    return explain
