from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.litellm.known_keys import known_keys
from cluster.litellm.local import as_yaml
from cluster.litellm.render import render
from configs.load import ProfileError, parse_platform, read_profile
from configs.schema import PlatformConfig
from configs.schema.base import secrets_of

BASE: dict[str, Any] = {
    "models": [{"name": "small", "engine": "mock"}, {"name": "large", "engine": "mock"}],
    "embedder": {"name": "embedder", "engine": "mock", "dim": 8},
    "agent": {"name": "manta", "models": ["small"]},
    "litellm": {"master_key": {"env": "MASTER"}},
}


def platform(litellm: dict[str, Any] | None = None, **changes: Any) -> PlatformConfig:
    return parse_platform(BASE | {"litellm": BASE["litellm"] | (litellm or {})} | changes)


def rendered(config: PlatformConfig) -> dict[str, Any]:
    return render(config, "http://app:8000/")


def test_every_name_that_the_application_serves_is_there_once() -> None:
    document = rendered(platform())
    assert [model["model_name"] for model in document["model_list"]] == [
        "small",
        "large",
        "manta",
        "embedder",
    ]
    assert {model["litellm_params"]["api_base"] for model in document["model_list"]} == {"http://app:8000/v1"}
    assert document["model_list"][-1]["model_info"]["mode"] == "embedding"


def test_agents_and_groups_are_models_of_the_proxy_too() -> None:
    config = platform(
        agents=[{"name": "clerk", "model": "small", "prompt": "Help."}],
        front={"groups": [{"name": "any", "members": [{"model": "small"}, {"model": "large"}]}]},
    )
    names = [model["model_name"] for model in rendered(config)["model_list"]]
    assert names == ["small", "large", "manta", "clerk", "any", "embedder"]


def test_nothing_is_tried_twice_and_nobody_is_locked_out() -> None:
    document = rendered(platform())
    assert document["litellm_settings"]["num_retries"] == 0
    assert document["router_settings"]["num_retries"] == 0
    assert document["router_settings"]["disable_cooldowns"] is True
    assert "fallbacks" not in document["router_settings"]
    assert {model["litellm_params"]["max_retries"] for model in document["model_list"]} == {0}


@pytest.mark.parametrize(
    ("section", "settings"),
    [
        ("router_settings", {"fallbacks": [{"small": ["claude"]}]}),
        ("router_settings", {"fallbacks": [{"*": ["claude"]}]}),
        ("litellm_settings", {"context_window_fallbacks": [{"manta": ["claude"]}]}),
        ("litellm_settings", {"default_fallbacks": ["claude"]}),
    ],
)
def test_no_request_with_the_secret_falls_back_to_another_provider(
    section: str, settings: dict[str, Any]
) -> None:
    with pytest.raises(ProfileError, match=rf"litellm\.{section}\.\w*fallbacks: .*front\.groups"):
        rendered(platform({section: settings}))


def test_other_models_may_fall_back_to_each_other() -> None:
    others = [{"name": name, "model": f"bedrock/{name}"} for name in ("claude", "nova")]
    fallbacks = {"fallbacks": [{"claude": ["nova"]}]}
    document = rendered(platform({"models": others, "router_settings": fallbacks}))
    assert document["router_settings"]["fallbacks"] == [{"claude": ["nova"]}]


def test_the_application_says_first_that_time_is_over() -> None:
    config = platform(ingress={"max_deadline_s": 120})
    document = rendered(config)
    assert all(model["litellm_params"]["timeout"] > 120 for model in document["model_list"])
    assert document["litellm_settings"]["request_timeout"] > 120


def test_costs_are_the_applications() -> None:
    prices = {"large": {"usd_per_million_prompt_tokens": 2, "usd_per_million_answer_tokens": 8}}
    by_name = {
        model["model_name"]: model for model in rendered(platform(door={"prices": prices}))["model_list"]
    }
    assert by_name["large"]["litellm_params"]["input_cost_per_token"] == pytest.approx(2e-6)
    assert by_name["large"]["litellm_params"]["output_cost_per_token"] == pytest.approx(8e-6)
    assert by_name["small"]["litellm_params"]["input_cost_per_token"] == 0


def test_secrets_are_named_and_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER", "the value")
    redis = {"url": "redis://cache:7000/2", "password": {"env": "REDIS"}}
    others = [{"name": "claude", "model": "bedrock/claude", "api_key": {"env": "OTHER"}}]
    config = platform({"models": others, "database": {"env": "POSTGRES"}}, door={"redis": redis})
    text = json.dumps(rendered(config))
    assert "the value" not in text
    for name in ("MASTER", "REDIS", "OTHER", "POSTGRES"):
        assert f"os.environ/{name}" in text
    assert config.litellm is not None
    assert secrets_of(config.litellm) == {"MASTER", "OTHER", "POSTGRES"}
    settings = rendered(config)["router_settings"]
    assert (settings["redis_host"], settings["redis_port"]) == ("cache", 7000)
    assert settings["cache_kwargs"] == {"db": 2}


def test_an_encrypted_redis_is_spoken_to_encrypted() -> None:
    redis = {"url": "rediss://cache.example:6379", "username": "manta"}
    settings = rendered(platform(door={"redis": redis}))["router_settings"]
    assert settings["cache_kwargs"] == {"ssl": True, "username": "manta"}


@pytest.mark.parametrize(
    ("litellm", "told"),
    [
        ({"litellm_settings": {"drop_parmas": True}}, r"litellm.litellm_settings.drop_parmas.*drop_params"),
        ({"general_settings": {"master_kee": "x"}}, r"litellm.general_settings.master_kee.*master_key"),
        ({"router_settings": {"num_retrys": 3}}, r"litellm.router_settings.num_retrys.*num_retries"),
        (
            {"models": [{"name": "x", "model": "bedrock/x", "params": {"aws_regoin_name": "eu"}}]},
            r"litellm.models.0.params.aws_regoin_name.*aws_region_name",
        ),
        ({"models": [{"name": "small", "model": "bedrock/x"}]}, "litellm.models.0.name: 'small'"),
    ],
)
def test_what_litellm_would_ignore_is_refused(litellm: dict[str, Any], told: str) -> None:
    with pytest.raises(ProfileError, match=told):
        rendered(platform(litellm))


def test_a_profile_without_a_gateway_has_nothing_to_render() -> None:
    config = parse_platform({key: value for key, value in BASE.items() if key != "litellm"})
    with pytest.raises(ProfileError, match="no `litellm`"):
        rendered(config)


def test_the_profile_in_the_repository_renders_the_same_each_time(repository: Path) -> None:
    profile = read_profile(repository / "configs" / "local-gateway.yaml")
    assert as_yaml(profile) == as_yaml(profile)
    assert "http://127.0.0.1:8000/v1" in as_yaml(profile)


def test_the_list_of_keys_is_of_the_version_that_is_installed(repository: Path) -> None:
    lock = (repository / "requirements-gateway.lock").read_text()
    document = json.loads((repository / "cluster" / "litellm" / "known_keys.json").read_text())
    assert f"litellm[proxy]=={document['version']}" in lock or f"litellm=={document['version']}" in lock
    assert "cancel_on_disconnect" in known_keys()["general_settings"]
