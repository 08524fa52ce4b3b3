"""Serve's REST API: what is sent, and when what runs is what is wanted."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from benchmarks.conformance.serve_api import ServeApi, why_unsettled
from benchmarks.errors import BadTarget


def details(**changes: Any) -> dict[str, Any]:
    """Of an application with one deployment of two replicas, and two proxies."""
    deployment = {
        "status": "HEALTHY",
        "message": "",
        "target_num_replicas": 2,
        "replicas": [{"state": "RUNNING"}, {"state": "RUNNING"}],
        **changes.get("deployment", {}),
    }
    application = {"status": "RUNNING", "message": "", "deployments": {"Model-mock": deployment}}
    proxies = {"a": {"status": "HEALTHY"}, "b": {"status": changes.get("proxy", "HEALTHY")}}
    return {"applications": {"manta": application | changes.get("application", {})}, "proxies": proxies}


def test_all_that_is_wanted_runs() -> None:
    assert why_unsettled(details(), "manta", 2) is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"deployment": {"status": "UPDATING", "message": "rolling\nmore"}},
            "Model-mock is UPDATING: rolling",
        ),
        (
            {"deployment": {"replicas": [{"state": "RUNNING"}, {"state": "STOPPING"}]}},
            "replicas of Model-mock are RUNNING, STOPPING",
        ),
        ({"deployment": {"replicas": [{"state": "RUNNING"}]}}, "Model-mock has 1 of 2 replicas"),
        ({"application": {"status": "DEPLOYING"}}, "manta is DEPLOYING: "),
        ({"proxy": "STARTING"}, "1 of 2 proxies are healthy"),
    ],
)
def test_what_is_on_its_way_is_named(changes: dict[str, Any], why: str) -> None:
    assert why_unsettled(details(**changes), "manta", 2) == why


def test_an_application_that_is_not_there_is_named() -> None:
    assert why_unsettled({"applications": {}, "proxies": {}}, "manta", 1) == "manta is not deployed"


def test_a_configuration_is_put_with_the_token() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={})

    ServeApi("http://head", "secret", httpx.MockTransport(answer)).deploy({"applications": []})
    (request,) = seen
    assert (request.method, request.url.path) == ("PUT", "/api/serve/applications/")
    assert request.headers["authorization"] == "Bearer secret"
    assert json.loads(request.content) == {"applications": []}


def test_a_refusal_says_why() -> None:
    api = ServeApi("http://head", "", httpx.MockTransport(lambda _: httpx.Response(401, text="no token")))
    with pytest.raises(BadTarget, match="401: no token"):
        api.details()
