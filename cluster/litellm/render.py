"""LiteLLM's configuration file, from the platform's: pure.

Fallbacks, retries and limits are the application's; a second layer of them would multiply the first. What is left to
LiteLLM: its keys, the models of other providers, and telling others of each request.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from cluster.litellm.known_keys import check
from configs.load import ProfileError
from configs.schema import LiteLLMConfig, OtherModel, PlatformConfig, RedisConfig, SecretRef

# Of the application, beyond the longest deadline that it grants: its own 504 shall be the one that clients see.
PATIENCE_S = 10.0
HOOKS = "cluster.litellm.proxy.hooks"
_FALLBACKS = frozenset(
    {"fallbacks", "default_fallbacks", "context_window_fallbacks", "content_policy_fallbacks"}
)

JsonObject = dict[str, Any]


def render(config: PlatformConfig, upstream: str) -> JsonObject:
    """The document for LiteLLM's `config.yaml`. Secrets are in it by the names of environment variables.

    Args:
        upstream: the application's address, without `/v1`.

    Raises:
        ProfileError: there is no `litellm` in the configuration, a name is given twice, or a key is not known.
    """
    gateway = gateway_of(config)
    document: JsonObject = {
        "model_list": [*_own_models(config, gateway, upstream), *_other_models(config, gateway)],
        "litellm_settings": _litellm_settings(config, gateway),
        "general_settings": _general_settings(gateway),
        "router_settings": _router_settings(config, gateway),
    }
    for section in ("litellm_settings", "general_settings", "router_settings"):
        check(section, document[section], f"litellm.{section}")
        _check_fallbacks(document[section], set(names_of(config)), f"litellm.{section}")
    return document


def gateway_of(config: PlatformConfig) -> LiteLLMConfig:
    """The part of the configuration that this is about.

    Raises:
        ProfileError: there is none.
    """
    if config.litellm is None:
        raise ProfileError("the profile has no `litellm`: nothing says what the gateway should be")
    return config.litellm


def names_of(config: PlatformConfig) -> list[str]:
    """What the application serves, by the names that clients use."""
    named = [*(model.name for model in config.models), *_agents_of(config), config.embedder.name]
    return named if config.reranker is None else [*named, config.reranker.name]


def _agents_of(config: PlatformConfig) -> list[str]:
    """Agents, and groups of models: what is asked like a chat model."""
    return [
        config.agent.name,
        *(agent.name for agent in config.agents),
        *(one.name for one in config.front.groups),
    ]


def reference(secret: SecretRef) -> str:
    """How LiteLLM's file names an environment variable."""
    return f"os.environ/{secret.env}"


def _own_models(config: PlatformConfig, gateway: LiteLLMConfig, upstream: str) -> list[JsonObject]:
    named = [(model.name, "chat", "openai") for model in config.models]
    named += [(name, "chat", "openai") for name in _agents_of(config)]
    named.append((config.embedder.name, "embedding", "openai"))
    if config.reranker is not None:
        named.append((config.reranker.name, "rerank", "hosted_vllm"))
    # LiteLLM wants a key for its client; where the application is open, or the proxy proves itself, nobody reads it.
    key = "none" if gateway.upstream_key is None else reference(gateway.upstream_key)
    timeout_s = config.ingress.max_deadline_s + PATIENCE_S
    return [
        {
            "model_name": name,
            "litellm_params": {
                "model": f"{provider}/{name}",
                "api_base": f"{upstream.rstrip('/')}/v1",
                "api_key": key,
                "timeout": timeout_s,
                "stream_timeout": timeout_s,
                "max_retries": 0,
                **_costs(config, name),
            },
            "model_info": {"mode": mode},
        }
        for name, mode, provider in named
    ]


def _costs(config: PlatformConfig, name: str) -> JsonObject:
    """Per token; LiteLLM would else look the name up in a list of other people's models."""
    price = config.door.prices.get(name)
    prompt, answer = (
        (0.0, 0.0)
        if price is None
        else (price.usd_per_million_prompt_tokens, price.usd_per_million_answer_tokens)
    )
    return {"input_cost_per_token": prompt / 1e6, "output_cost_per_token": answer / 1e6}


def _other_models(config: PlatformConfig, gateway: LiteLLMConfig) -> list[JsonObject]:
    taken = set(names_of(config))
    entries = []
    for index, other in enumerate(gateway.models):
        if other.name in taken:
            raise ProfileError(f"litellm.models.{index}.name: {other.name!r} is the name of another model")
        taken.add(other.name)
        check("litellm_params", other.params, f"litellm.models.{index}.params")
        entries.append(_other_model(other))
    return entries


def _other_model(other: OtherModel) -> JsonObject:
    params: JsonObject = {"model": other.model}
    if other.api_base is not None:
        params["api_base"] = other.api_base
    if other.api_key is not None:
        params["api_key"] = reference(other.api_key)
    return {
        "model_name": other.name,
        "litellm_params": params | other.params,
        "model_info": {"mode": other.kind},
    }


def _check_fallbacks(settings: JsonObject, own: set[str], where: str) -> None:
    """Return if none leads from one of the application's models, whose requests carry the gateway's secret.

    Raises:
        ProfileError: one does.
    """
    for key in _FALLBACKS & settings.keys():
        entries = settings[key] if isinstance(settings[key], list) else [settings[key]]
        sources = {name for one in entries if isinstance(one, dict) for name in one}
        if key == "default_fallbacks" or not sources.isdisjoint({*own, "*"}):
            raise ProfileError(
                f"{where}.{key}: leads from models of the application to others, which would be told the secret by "
                "which the gateway proves itself; the application falls back by itself: front.groups"
            )


def _litellm_settings(config: PlatformConfig, gateway: LiteLLMConfig) -> JsonObject:
    return {
        # What a model cannot do is an error, and told; dropped, it would be an answer to another question.
        "drop_params": False,
        "num_retries": 0,
        "request_timeout": config.ingress.max_deadline_s + PATIENCE_S,
        # Never write what was asked or answered anywhere.
        "turn_off_message_logging": True,
        "callbacks": [HOOKS, *gateway.callbacks],
        **gateway.litellm_settings,
    }


def _general_settings(gateway: LiteLLMConfig) -> JsonObject:
    settings: JsonObject = {
        "master_key": reference(gateway.master_key),
        # Deadline, priority and trace travel as `x-` headers; the proxy's hooks take away those that prove who asks.
        "forward_client_headers_to_llm_api": True,
        # A client that leaves frees the engine's slot, streaming or not.
        "cancel_on_disconnect": True,
    }
    if gateway.database is not None:
        settings["database_url"] = reference(gateway.database)
    return settings | gateway.general_settings


def _router_settings(config: PlatformConfig, gateway: LiteLLMConfig) -> JsonObject:
    settings: JsonObject = {
        "num_retries": 0,
        # Each of the application's models has one address. A 429 of one tenant must not lock out the others.
        "disable_cooldowns": True,
    }
    if config.door.redis is not None:
        settings |= _redis(config.door.redis)
    return settings | gateway.router_settings


def _redis(redis: RedisConfig) -> JsonObject:
    """Counters that several of LiteLLM's processes share."""
    url = urlsplit(redis.url)
    settings: JsonObject = {"redis_host": url.hostname or "127.0.0.1", "redis_port": url.port or 6379}
    if redis.password is not None:
        settings["redis_password"] = reference(redis.password)
    more: JsonObject = {"ssl": True} if url.scheme == "rediss" else {}
    if redis.username is not None:
        more["username"] = redis.username
    if url.path.strip("/"):
        more["db"] = int(url.path.strip("/"))
    return settings | ({"cache_kwargs": more} if more else {})
