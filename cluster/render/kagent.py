"""The declared agents as resources of kagent 0.9 (kagent.dev/v1alpha2): prompt, model and tools, for its own loop.

    agents: {name, prompt, model, tools}  ->  Agent, ModelConfig
    tools: {kind: mcp}                    ->  RemoteMCPServer, with the tools that may be called
    tools: {kind: agent}                  ->  the other Agent; the pipeline is Manta's own MCP server
    tools: {kind: retrieval}              ->  Manta's own MCP server, whose tool asks an agent with citations

Its models are Manta's, through LiteLLM where there is one. What kagent has no word for (HTTP tools, limits of a run,
withheld results) stays in Manta: an agent that has such a tool is a model of Manta's here, which keeps all of it.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence

from cluster.plan_types import ClusterPlan
from cluster.render import names
from cluster.render.litellm_proxy import upstream
from cluster.render.objects import Object, metadata
from cluster.section import cluster_of
from configs.schema import (
    AgentTool,
    ClusterConfig,
    DeclaredAgent,
    FetchTool,
    HttpTool,
    KagentPart,
    McpTools,
    PlatformConfig,
    RetrievalTool,
    ToolConfig,
    WebTool,
)

_API = "kagent.dev/v1alpha2"
_COMPONENT = "kagent"
_OWN_SERVER = "manta"
ASK_TOOL = "ask"  # of Manta's own MCP server (serve_app.ingress.agents.tool)
_NO_NAME = re.compile(r"[^a-z0-9]+")
_MAX_NAME = 50
# The prompt of an agent that runs in Manta: its own is there already.
_RELAY = "Pass on what you are asked, and what you are answered, word for word."


def kagent(config: PlatformConfig, _plan: ClusterPlan) -> list[Object]:
    """Agents, their models and MCP servers; none, where the profile has no `parts.kagent` or no agents."""
    cluster = cluster_of(config)
    part = cluster.parts.kagent
    if part is None or not config.agents:
        return []
    tools = {tool.name: tool for tool in config.tools}
    whole = {agent.name for agent in config.agents if _can_run(agent, tools)}
    asked = {tool.name: tool for agent in config.agents if agent.name in whole for tool in _of(agent, tools)}
    servers = [_server(part, tool) for _, tool in sorted(asked.items()) if isinstance(tool, McpTools)]
    if any(_is_mantas(tool, config) for tool in asked.values()):
        servers.append(_own_server(config, part))
    return [
        *(_model(config, cluster, part, agent, is_whole=agent.name in whole) for agent in config.agents),
        *servers,
        *(_agent(config, part, agent, tools, is_whole=agent.name in whole) for agent in config.agents),
    ]


def kube_name(name: str) -> str:
    """A name of ours as Kubernetes takes it; two that only differ in other characters stay two."""
    plain = _NO_NAME.sub("-", name.lower()).strip("-")
    if plain == name and len(plain) <= _MAX_NAME:
        return plain
    return f"{plain[:_MAX_NAME].strip('-') or 'agent'}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def _of(agent: DeclaredAgent, tools: dict[str, ToolConfig]) -> list[ToolConfig]:
    return [tools[name] for name in agent.tools]


def _can_run(agent: DeclaredAgent, tools: dict[str, ToolConfig]) -> bool:
    """Whether kagent can be told all of it."""
    return not any(isinstance(tool, HttpTool | WebTool | FetchTool) for tool in _of(agent, tools))


def _is_mantas(tool: ToolConfig, config: PlatformConfig) -> bool:
    """Whether kagent reaches it by Manta's own MCP server."""
    return isinstance(tool, RetrievalTool) or (
        isinstance(tool, AgentTool) and tool.agent == config.agent.name
    )


def _model(
    config: PlatformConfig, cluster: ClusterConfig, part: KagentPart, agent: DeclaredAgent, *, is_whole: bool
) -> Object:
    """What the agent thinks with: its model, with the agent's own settings; or the agent itself as a model."""
    limits = agent.limits
    own = {"temperature": f"{agent.temperature:g}", "maxTokens": limits.max_answer_tokens} if is_whole else {}
    return {
        "apiVersion": _API,
        "kind": "ModelConfig",
        "metadata": metadata(kube_name(agent.name), _COMPONENT, part.namespace),
        "spec": {
            "provider": "OpenAI",
            "model": agent.model if is_whole else agent.name,
            "openAI": {
                "baseUrl": f"{_address(config, cluster)}/v1",
                "timeout": math.ceil(limits.time_s),
                **own,
            },
            "apiKeySecret": part.api_key_secret,
            "apiKeySecretKey": part.api_key_name,
        },
    }


def _address(config: PlatformConfig, cluster: ClusterConfig) -> str:
    """LiteLLM, which knows keys; else the application itself."""
    if cluster.parts.litellm is None:
        return upstream(config)
    return f"http://{names.LITELLM}.{cluster.namespaces.gateway}.svc.cluster.local:{names.LITELLM_PORT}"


def _server(part: KagentPart, tool: McpTools) -> Object:
    headers = []
    if tool.secret is not None:
        # A Secret holds a header's whole value, prefix and all: kagent puts no two together.
        reference = {"type": "Secret", "name": part.api_key_secret, "key": tool.secret.value.env}
        headers = [{"name": tool.secret.header, "valueFrom": reference}]
    return _remote(
        part, tool.name, f"The MCP server of the tools {tool.name}.", tool.url, tool.timeout_s, headers
    )


def _own_server(config: PlatformConfig, part: KagentPart) -> Object:
    """The application's /mcp, past LiteLLM, which passes nothing on but what it knows."""
    return _remote(
        part,
        _OWN_SERVER,
        "Manta: asks its agents, which answer from the ingested documents with citations.",
        f"{upstream(config)}/mcp",
        config.agent.budget.total_s,
        [_bearer(part)],
    )


def _bearer(part: KagentPart) -> Object:
    """`Bearer KEY` as a whole, beside the key itself."""
    reference = {"type": "Secret", "name": part.api_key_secret, "key": f"{part.api_key_name}-header"}
    return {"name": "authorization", "valueFrom": reference}


def _remote(
    part: KagentPart, name: str, description: str, url: str, timeout_s: float, headers: Sequence[Object]
) -> Object:
    return {
        "apiVersion": _API,
        "kind": "RemoteMCPServer",
        "metadata": metadata(kube_name(name), _COMPONENT, part.namespace),
        "spec": {
            "description": description,
            "protocol": "STREAMABLE_HTTP",
            "url": url,
            "timeout": f"{round(timeout_s)}s",
            **({"headersFrom": list(headers)} if headers else {}),
        },
    }


def _agent(
    config: PlatformConfig,
    part: KagentPart,
    agent: DeclaredAgent,
    tools: dict[str, ToolConfig],
    *,
    is_whole: bool,
) -> Object:
    told = [_tool(config, tool) for tool in _of(agent, tools)] if is_whole else []
    return {
        "apiVersion": _API,
        "kind": "Agent",
        "metadata": metadata(kube_name(agent.name), _COMPONENT, part.namespace),
        "spec": {
            "type": "Declarative",
            "description": agent.description,
            "declarative": {
                "systemMessage": agent.prompt if is_whole else _RELAY,
                "modelConfig": kube_name(agent.name),
                "stream": True,
                **({"tools": told} if told else {}),
                "a2aConfig": {
                    "skills": [
                        {
                            "id": kube_name(agent.name),
                            "name": agent.name,
                            "description": agent.description,
                            "tags": ["manta"],
                        }
                    ]
                },
                "deployment": {
                    "labels": names.labels(_COMPONENT),
                    "podSecurityContext": {
                        "runAsNonRoot": True,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                },
            },
        },
    }


def _tool(config: PlatformConfig, tool: ToolConfig) -> Object:
    if isinstance(tool, AgentTool) and tool.agent != config.agent.name:
        return {
            "type": "Agent",
            "agent": {"apiGroup": "kagent.dev", "kind": "Agent", "name": kube_name(tool.agent)},
        }
    server, called = (
        (tool.name, list(tool.tools)) if isinstance(tool, McpTools) else (_OWN_SERVER, [ASK_TOOL])
    )
    told = {
        "apiGroup": "kagent.dev",
        "kind": "RemoteMCPServer",
        "name": kube_name(server),
        "toolNames": called,
    }
    return {"type": "McpServer", "mcpServer": told | ({"requireApproval": called} if tool.approval else {})}
