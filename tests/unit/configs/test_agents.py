"""Declared agents and their tools: ten lines that work, and faults that are named."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from configs.schema import FetchTool, HttpTool, PlatformConfig, WebTool, calls_of, order_of_calls

TEN_LINES = """
tools:
  - name: weather
    kind: http
    description: The weather in a city now.
    url: https://api.weather.example/v1/cities/{city}/now
    parameters: {city: {type: string, description: Its English name}}
agents:
  - {name: forecaster, model: chat, prompt: Answer questions about the weather., tools: [weather]}
"""
BASE: dict[str, Any] = {
    "models": [{"name": "chat", "engine": "mock"}, {"name": "quotes", "engine": "extractive"}],
    "embedder": {"name": "embedder", "engine": "mock", "dim": 8},
    "agent": {"name": "manta", "models": ["chat"]},
}
WEATHER = yaml.safe_load(TEN_LINES)["tools"][0]


def agent(name: str, *tools: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "model": "chat", "prompt": "Help.", "tools": list(tools), **more}


def ask(name: str, agent_name: str) -> dict[str, Any]:
    return {"name": name, "kind": "agent", "agent": agent_name}


def test_ten_lines_are_enough() -> None:
    config = PlatformConfig(**BASE | yaml.safe_load(TEN_LINES))
    tool = config.tools[0]
    assert isinstance(tool, HttpTool)
    assert tool.allowed_hosts == ("api.weather.example",)
    assert (tool.when_untrusted, tool.approval) == ("allow", False)
    assert len(TEN_LINES.strip().splitlines()) <= 10


def test_an_agent_that_looks_things_up_needs_a_search_and_a_list_of_hosts() -> None:
    example = """
web_search: {provider: {kind: tavily}}
tools:
  - {name: search, kind: web}
  - {name: read, kind: fetch, hosts: ["*.wikipedia.org", docs.example.com]}
agents:
  - {name: researcher, model: chat, prompt: Find out what is asked., tools: [search, read]}
"""
    config = PlatformConfig(**BASE | yaml.safe_load(example))
    assert [type(tool) for tool in config.tools] == [WebTool, FetchTool]


@pytest.mark.parametrize(
    ("method", "after", "when"),
    [
        ("GET", None, "allow"),
        ("POST", None, "approve"),
        ("DELETE", None, "approve"),
        ("POST", "allow", "allow"),
    ],
)
def test_what_changes_things_waits_for_a_person_once_results_were_read(
    method: str, after: str | None, when: str
) -> None:
    assert HttpTool(**WEATHER | {"method": method, "after_untrusted": after}).when_untrusted == when


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"agents": [agent("a", model="gone")]}, "agents.a names the model 'gone'"),
        ({"agents": [agent("a", model="quotes")]}, "only quotes passages"),
        (
            {"agents": [agent("a", "gone")]},
            "agents.a names the tool 'gone', which is none of: (there are none)",
        ),
        ({"agents": [agent("chat")]}, "the name 'chat' is given twice"),
        ({"agents": [agent("a"), agent("a")]}, "the name 'a' is given twice"),
        ({"tools": [WEATHER, WEATHER]}, "tools: 'weather' is declared twice"),
        ({"tools": [ask("x", "gone")]}, "tools.x names the agent 'gone'"),
        ({"tools": [{"name": "s", "kind": "web"}]}, "tools.s searches the web, which needs `web_search`"),
        ({"tools": [{"name": "r", "kind": "fetch"}]}, "hosts"),
        (
            {"agents": [agent("a", "x")], "tools": [ask("x", "a")]},
            "agents ask each other in a circle: a -> a",
        ),
        (
            {"agents": [agent("a", "x"), agent("b", "y")], "tools": [ask("x", "b"), ask("y", "a")]},
            "agents ask each other in a circle: a -> b -> a",
        ),
        (
            {
                "agent": {"name": "manta", "models": ["chat"], "task_agent": "a"},
                "agents": [agent("a", "x")],
                "tools": [ask("x", "manta")],
            },
            "agents ask each other in a circle",
        ),
        (
            {"agent": {"name": "manta", "models": ["chat"], "task_agent": "gone"}},
            "agent.task names the agent 'gone'",
        ),
        (
            {"agent": {"name": "manta", "models": ["chat"], "task_words": ["do"]}},
            "task_words needs a task_agent",
        ),
        (
            {"tools": [WEATHER | {"hosts": ["elsewhere.example"]}]},
            "host api.weather.example is none of its hosts",
        ),
        ({"tools": [WEATHER | {"url": "https://{city}.example/"}]}, "a parameter in its host"),
        ({"tools": [WEATHER | {"url": "https://me:pw@api.example/"}]}, "credentials"),
        ({"tools": [WEATHER | {"url": "https://api.example/{town}"}]}, "there is no parameter 'town'"),
        ({"tools": [WEATHER | {"optional": ["city"]}]}, "'city' stands in the URL and cannot be optional"),
        (
            {"tools": [WEATHER | {"parameters": {"city": {"type": "text"}}}]},
            "the schema of 'city' is no JSON schema",
        ),
        ({"tools": [WEATHER | {"headers": {"Host": "x"}}]}, "the header host cannot be set here"),
        (
            {
                "tools": [
                    WEATHER | {"headers": {"Authorization": "x"}, "secret": {"value": {"env": "KEY"}}},
                ]
            },
            "the header authorization cannot be set here",
        ),
        ({"tools": [{"name": "m", "kind": "mcp", "url": "http://x/mcp", "tools": []}]}, "tools.0.mcp.tools"),
        (
            {
                "tools": [
                    {
                        "name": "m",
                        "kind": "mcp",
                        "url": "http://x/mcp",
                        "tools": ["a"],
                        "pins": {"b": "0" * 64},
                    }
                ]
            },
            "pins names 'b'",
        ),
        (
            {
                "agents": [agent("a", "m", "m_x")],
                "tools": [
                    {"name": "m", "kind": "mcp", "url": "http://x/mcp", "tools": ["x"]},
                    WEATHER | {"name": "m_x"},
                ],
            },
            "agents.a has two tools that the model would call 'm_x'",
        ),
        (
            {"sessions": None, "agents": [agent("a", "weather")], "tools": [WEATHER | {"approval": True}]},
            "agents.a has a tool that a person approves, which needs `sessions`",
        ),
        ({"sessions": None, "agents": [agent("a", memory="session")]}, "agents.a has memory: session"),
        ({"agents": [agent("a", limits={"max_steps": 0})]}, "agents.0.limits.max_steps"),
        ({"agents": [agent("a", color="red")]}, "agents.0.color"),
    ],
)
def test_a_fault_is_named(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError) as caught:
        PlatformConfig(**BASE | changes)
    told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in caught.value.errors())
    assert fault in told


def test_whoever_is_asked_comes_first() -> None:
    config = PlatformConfig(
        **BASE
        | {
            "agent": {"name": "manta", "models": ["chat"], "task_agent": "boss"},
            "agents": [agent("boss", "ask"), agent("worker"), agent("reader", "read")],
            "tools": [ask("ask", "worker"), ask("read", "manta")],
        }
    )
    calls = calls_of(config.agents, config.tools, "manta", "boss")
    assert calls == {"boss": ("worker",), "worker": (), "reader": ("manta",), "manta": ("boss",)}
    order = order_of_calls(calls)
    assert order.index("worker") < order.index("boss") < order.index("manta") < order.index("reader")
