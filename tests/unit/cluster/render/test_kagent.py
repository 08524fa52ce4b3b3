"""Declared agents for kagent: the same prompts, models and tools, and what it cannot run stays in Manta."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cluster.litellm.render import names_of
from cluster.render import names
from cluster.render.kagent import kagent, kube_name
from cluster.render.network.policies import policies
from cluster.render.network.rules import EVERY_POD, pods
from serve_app.ingress.agents.tool import TOOL_NAME

TOOLS = [
    {"name": "docs", "kind": "retrieval"},
    {
        "name": "shop",
        "kind": "mcp",
        "url": "https://shop.example/mcp",
        "tools": ["price", "stock"],
        "approval": True,
        "secret": {"value": {"env": "SHOP_TOKEN"}},
    },
    {"name": "research", "kind": "agent", "agent": "Researcher:v2"},
    {"name": "pipeline", "kind": "agent", "agent": "manta"},
    {
        "name": "weather",
        "kind": "http",
        "description": "The weather.",
        "url": "https://weather.example/{city}",
        "parameters": {"city": {"type": "string"}},
    },
]


def agent(name: str, *tools: str) -> dict[str, Any]:
    return {
        "name": name,
        "model": "qwen2.5-1.5b-instruct",
        "prompt": f"You are {name}.",
        "description": f"Does what {name} does.",
        "tools": list(tools),
        "scaling": {"num_cpus": 0.5},
    }


@pytest.fixture
def made(planned: Callable[..., Any]) -> Any:
    secrets = planned("eks-graviton").config.cluster.model_dump(mode="json", exclude_unset=True)["secrets"]
    replicas = planned("eks-graviton").config.cluster.model_dump(mode="json", exclude_unset=True)["replicas"]
    agents = [
        agent("Researcher:v2", "docs"),
        agent("clerk", "shop", "research", "pipeline"),
        agent("forecaster", "weather"),
    ]
    return planned(
        "eks-graviton",
        agents=agents,
        tools=TOOLS,
        cluster__parts__kagent={},
        cluster__secrets=secrets | {"SHOP_TOKEN": {"remote": "manta/shop"}},
        cluster__replicas=replicas,
    )


def of_kind(made: Any, kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one["spec"] for one in kagent(*made) if one["kind"] == kind}


def test_every_declared_agent_is_there_with_its_prompt(made: Any) -> None:
    agents = of_kind(made, "Agent")
    assert set(agents) == {kube_name(one.name) for one in made.config.agents}
    assert agents["clerk"]["declarative"]["systemMessage"] == "You are clerk."
    assert agents["clerk"]["description"] == "Does what clerk does."


def test_what_is_referenced_exists(made: Any) -> None:
    models, servers, agents = (of_kind(made, kind) for kind in ("ModelConfig", "RemoteMCPServer", "Agent"))
    for spec in agents.values():
        assert spec["declarative"]["modelConfig"] in models
        for tool in spec["declarative"].get("tools", ()):
            if tool["type"] == "Agent":
                assert tool["agent"]["name"] in agents
            else:
                assert tool["mcpServer"]["name"] in servers
    namespaces = {one["metadata"]["namespace"] for one in kagent(*made)}
    assert namespaces == {"kagent"}


def test_models_are_names_that_litellm_serves_at_litellms_address(made: Any) -> None:
    for spec in of_kind(made, "ModelConfig").values():
        assert spec["model"] in names_of(made.config)
        assert spec["openAI"]["baseUrl"].startswith(
            f"http://{names.LITELLM}.{made.cluster.namespaces.gateway}."
        )
        assert spec["apiKeySecret"]


def test_mcp_tools_are_those_that_may_be_called_and_approved_where_they_must_be(made: Any) -> None:
    tools = of_kind(made, "Agent")["clerk"]["declarative"]["tools"]
    (shop,) = [one["mcpServer"] for one in tools if one.get("mcpServer", {}).get("name") == "shop"]
    assert shop["toolNames"] == shop["requireApproval"] == ["price", "stock"]
    server = of_kind(made, "RemoteMCPServer")["shop"]
    assert server["url"] == "https://shop.example/mcp"
    (header,) = server["headersFrom"]
    assert header["valueFrom"]["type"] == "Secret"
    assert "value" not in header


def test_the_knowledge_base_and_the_pipeline_are_mantas_own_server(made: Any) -> None:
    server = of_kind(made, "RemoteMCPServer")["manta"]
    assert server["url"].endswith(":8000/mcp")
    (docs,) = of_kind(made, "Agent")[kube_name("Researcher:v2")]["declarative"]["tools"]
    assert docs["mcpServer"]["name"] == "manta"
    assert docs["mcpServer"]["toolNames"] == [TOOL_NAME]


def test_an_agent_that_kagent_cannot_run_is_a_model_of_mantas(made: Any) -> None:
    forecaster = of_kind(made, "Agent")["forecaster"]["declarative"]
    assert "tools" not in forecaster
    assert of_kind(made, "ModelConfig")[forecaster["modelConfig"]]["model"] == "forecaster"
    assert forecaster["systemMessage"] != "You are forecaster."


def test_its_agents_reach_mantas_own_server_by_the_way_they_are_told(planned: Callable[..., Any]) -> None:
    """Behind Ray's own Gateway where upgrades go by steps: LiteLLM does not pass /mcp on."""
    made = planned("eks-gpu", cluster__parts__kagent={})
    (proxies,) = [
        one
        for one in policies(*made)
        if one["metadata"]["name"] == "gateway-proxies" and one["metadata"]["namespace"] == "manta"
    ]
    (coming,) = proxies["spec"]["ingress"]
    assert pods(EVERY_POD, made.cluster.parts.kagent.namespace) in coming["from"]


def test_names_that_kubernetes_does_not_take_stay_apart() -> None:
    assert kube_name("clerk") == "clerk"
    assert kube_name("a.b") != kube_name("a:b")
    assert len(kube_name("x" * 128)) <= 63
    assert kube_name("Ünïcode/agent")[0].isalnum()


def test_nobody_asked_for_it(planned: Callable[..., Any]) -> None:
    assert kagent(*planned("eks-graviton")) == []
