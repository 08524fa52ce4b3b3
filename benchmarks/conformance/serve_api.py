"""Serve's REST API of a Ray head: put a configuration there, read how it stands.

The same interface that KubeRay's operator uses for a RayService.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from benchmarks.errors import BadTarget

_PATH = "/api/serve/applications/"
_TIMEOUT_S = 30.0


class ServeApi:
    """One head's API. Close it when done.

    Args:
        url: of the head's dashboard.
        token: Ray's own, which the API asks for by default.
    """

    def __init__(self, url: str, token: str, transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(
            base_url=url,
            headers={"authorization": f"Bearer {token}"},
            timeout=_TIMEOUT_S,
            trust_env=False,
            transport=transport,
        )

    def deploy(self, document: Mapping[str, Any]) -> None:
        """Have Serve want this; returns before it is so. Only what differs from what runs is changed.

        Raises:
            BadTarget: the API is not there, or does not take it.
        """
        self._ask("PUT", document)

    def details(self) -> dict[str, Any]:
        """What Serve wants and what runs.

        Raises:
            BadTarget: the API does not answer.
        """
        document: dict[str, Any] = self._ask("GET", None).json()
        return document

    def close(self) -> None:
        self._http.close()

    def _ask(self, method: str, document: Mapping[str, Any] | None) -> httpx.Response:
        try:
            response = self._http.request(method, _PATH, json=document)
        except httpx.HTTPError as exc:
            raise BadTarget(f"{self._http.base_url}{_PATH}: {exc or exc.__class__.__name__}") from exc
        if response.status_code != 200:
            raise BadTarget(f"{method} {_PATH} answered {response.status_code}: {response.text[:300]}")
        return response


def why_unsettled(details: Mapping[str, Any], app_name: str, num_proxies: int) -> str | None:
    """Why not everything runs as it is wanted; None: it does, and nothing is on its way.

    Args:
        num_proxies: nodes on which one should run.
    """
    application = details["applications"].get(app_name)
    if application is None:
        return f"{app_name} is not deployed"
    for name, deployment in application["deployments"].items():
        if (why_not := _why_unhealthy(name, deployment)) is not None:
            return why_not
    if application["status"] != "RUNNING":
        return f"{app_name} is {application['status']}: {_first_line(application['message'])}"
    healthy = [proxy for proxy in details["proxies"].values() if proxy["status"] == "HEALTHY"]
    if len(healthy) != num_proxies or len(details["proxies"]) != num_proxies:
        return f"{len(healthy)} of {num_proxies} proxies are healthy"
    return None


def _why_unhealthy(name: str, deployment: Mapping[str, Any]) -> str | None:
    states = [replica["state"] for replica in deployment["replicas"]]
    wanted = deployment.get("target_num_replicas")
    if deployment["status"] != "HEALTHY":
        return f"{name} is {deployment['status']}: {_first_line(deployment['message'])}"
    if any(state != "RUNNING" for state in states):
        return f"replicas of {name} are {', '.join(sorted(set(states)))}"
    if wanted is not None and len(states) != wanted:
        return f"{name} has {len(states)} of {wanted} replicas"
    return None


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0][:200] if lines else ""
