"""What is said of a model before its engine runs is what the engine says of itself."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from configs.schema import AgentConfig, ExtractiveModel, MockModel, ModelConfig
from serve_app.engines.cards import agent_card, model_card
from serve_app.engines.extractive import ExtractiveGenerator
from serve_app.engines.llamacpp.chat import ABILITIES
from serve_app.engines.mock import MockGenerator

# As the configuration of a model names it -> as an engine's card does.
FIELDS = {"tools": "tools", "json_schema": "response_format"}


def serves(**config: Any) -> dict[str, bool]:
    return dict(model_card(TypeAdapter(ModelConfig).validate_python({"name": "m", **config})).serves)


@pytest.mark.parametrize(
    ("config", "abilities"),
    [
        (
            {"engine": "mock"},
            MockGenerator(MockModel(name="m", engine="mock")).card().abilities,
        ),
        (
            {"engine": "extractive"},
            ExtractiveGenerator(ExtractiveModel(name="m", engine="extractive")).card().abilities,
        ),
        ({"engine": "llamacpp", "weights": {"path": "m.gguf"}, "tool_dialect": "hermes"}, ABILITIES),
    ],
)
def test_the_configuration_tells_what_the_engine_does(
    config: dict[str, Any], abilities: frozenset[str]
) -> None:
    assert serves(**config) == {name: field in abilities for name, field in FIELDS.items()} | {
        "vision": False
    }


def test_what_hangs_on_weights_or_on_another_server_is_not_told() -> None:
    gguf = {"engine": "llamacpp", "weights": {"path": "m.gguf"}}
    assert "tools" not in serves(**gguf)
    assert serves(**gguf, tool_dialect="none")["tools"] is False
    vllm = {"engine": "vllm", "weights": {"path": "m"}}
    assert serves(**vllm) == {"tools": False, "json_schema": True}
    assert serves(**vllm, tool_call_parser="hermes")["tools"] is True
    assert serves(**vllm, runner="pooling") == {}
    assert serves(engine="external", base_url="https://example.com/v1", upstream_model="x") == {}


def test_a_card_says_what_kind_of_model_it_is() -> None:
    vllm = {"name": "m", "engine": "vllm", "weights": {"path": "m"}}
    kinds = [
        model_card(TypeAdapter(ModelConfig).validate_python(vllm | {"runner": runner})).kind
        for runner in ("generate", "pooling")
    ]
    assert kinds == ["chat", "pooling"]


@pytest.mark.parametrize(
    ("policy", "max_replicas", "has_own_calls"),
    [("ongoing_requests", 2, True), ("ongoing_requests", 1, False), ("work", 2, False)],
)
def test_what_serve_scales_has_a_call_for_each_request(
    policy: str, max_replicas: int, has_own_calls: bool
) -> None:
    scaling = {"min_replicas": 1, "max_replicas": max_replicas, "autoscaler": {"policy": policy}}
    config = MockModel.model_validate({"engine": "mock", "name": "m", "scaling": scaling})
    assert model_card(config).has_own_calls is has_own_calls
    agent = AgentConfig.model_validate({"name": "a", "models": ["m"], "scaling": scaling})
    assert agent_card(agent).has_own_calls is has_own_calls
