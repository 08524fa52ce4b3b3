"""LiteLLM's configuration against what is served: names of models, addresses, keys that LiteLLM knows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from cluster.lint.findings import Finding, Severity
from cluster.lint.manifest import InnerText, Manifest, at, error, items, mapping, mappings, note, warning
from cluster.lint.rules.serve import serve_config
from cluster.lint.serve_config import MANTA, applications
from cluster.lint.serve_llm import BUILDERS
from cluster.lint.vllm import served_names as engine_names
from cluster.lint.words import closest, listed
from cluster.lint.world import World, same_namespace
from cluster.lint.yaml_text import Path
from cluster.litellm.known_keys import known_keys

_SECTIONS = ("litellm_settings", "general_settings", "router_settings")
# Sections of LiteLLM 1.106's file: litellm/proxy/proxy_server.py.
_TOP = (
    *_SECTIONS, "model_list", "environment_variables", "include", "guardrails", "mcp_servers", "mcp_tools",
    "vector_store_registry", "search_tools", "sandbox_tools", "credential_list", "prompts", "policies",
    "policy_attachments", "plugins", "files_settings", "finetune_settings", "callback_settings", "assistant_settings",
    "agent_list", "agents", "worker_registry", "default_vertex_config", "pass_through_endpoints", "classifier_plugin",
)  # fmt: skip
_ENTRY = ("model_name", "litellm_params", "model_info")
# A ConfigMap's value that is LiteLLM's file.
_IS_CONFIG = ("model_list:", "litellm_settings:", "litellm_params:")


def check(world: World) -> Iterator[Finding]:
    for manifest in world.of("ConfigMap"):
        for key, value in mapping(manifest.get("data")).items():
            if isinstance(value, str) and any(word in value for word in _IS_CONFIG):
                for inner in manifest.inner("data", key):
                    yield from _config(world, manifest, inner)


def served_names(world: World, service: str, namespace: str) -> set[str] | None:
    """The names of the models behind a Service; None where the files do not tell."""
    found = next(
        (
            each
            for each in world.services
            if each.name == service and same_namespace(each.namespace, namespace)
        ),
        None,
    )
    if found is None:
        return None
    if found.is_made:
        return _of_ray_service(found.owner)
    behind = [
        pods for pods in world.pods_in(found.namespace) if found.selector and pods.has_labels(found.selector)
    ]
    rays = {id(pods.owner): pods.owner for pods in behind if pods.role}
    names = [_of_ray_service(owner) for owner in rays.values()] + [
        engine_names(pods.main) for pods in behind if not pods.role
    ]
    if not names or any(each is None for each in names):
        return None
    return {name for each in names if each for name in each}


def _of_ray_service(owner: Manifest) -> set[str] | None:
    config = serve_config(owner)
    if config is None:
        return None
    names: set[str] = set()
    for _, application in applications(config):
        path, args = application.get("import_path"), mapping(application.get("args"))
        if path == MANTA:
            own = _of_manta(args)
            if own is None:
                return None
            names |= own
        elif path in BUILDERS:
            names |= {
                str(at(each, "model_loading_config", "model_id"))
                for _, each in mappings(args.get("llm_configs"))
            }
        else:
            return None
    return names or None


def _of_manta(args: Mapping[str, Any]) -> set[str] | None:
    """The names that clients use of our own application; None if its settings are wrong, which is said elsewhere."""
    from configs.load import ProfileError, parse_platform

    try:
        platform = parse_platform(args)
    except ProfileError:
        return None
    agents = [
        platform.agent.name,
        *(agent.name for agent in platform.agents),
        *(one.name for one in platform.front.groups),
    ]
    names = {*(model.name for model in platform.models), platform.embedder.name, *agents}
    return names | ({platform.reranker.name} if platform.reranker is not None else set())


def _config(world: World, manifest: Manifest, inner: InnerText) -> Iterator[Finding]:
    for fault in inner.document.faults:
        place = inner.line_place(fault.line, fault.path)
        yield Finding(Severity.ERROR, "litellm/yaml", place, fault.message, fault.fix, manifest.title)
    data = mapping(inner.data)
    for key in data:
        yield from _known(inner, (str(key),), "the file", str(key), _TOP)
    for section in _SECTIONS:
        for key in mapping(data.get(section)):
            names = known_keys().get(section, frozenset())
            yield from _known(inner, (section, str(key)), section, str(key), names)
    yield from _fallbacks(inner, data)
    for index, entry in mappings(data.get("model_list")):
        params = mapping(entry.get("litellm_params"))
        for key in entry:
            yield from _known(inner, ("model_list", index, str(key)), "a model", str(key), _ENTRY)
        if "model_name" not in entry:
            yield error(
                "litellm/model",
                inner,
                ("model_list", index),
                "no model_name",
                "add the name that clients use",
            )
        if "model" not in params:
            message = (
                f"{entry.get('model_name')} names no model of a provider: LiteLLM does not start with it"
            )
            yield error(
                "litellm/model",
                inner,
                ("model_list", index, "litellm_params"),
                message,
                "add litellm_params.model",
            )
        for key in params:
            names = known_keys().get("litellm_params", frozenset())
            where = ("model_list", index, "litellm_params", str(key))
            yield from _known(inner, where, "litellm_params", str(key), names)
        yield from _upstream(world, manifest, inner, index, params)


def _known(
    inner: InnerText, path: tuple[str | int, ...], section: str, key: str, names: Collection[str]
) -> Iterator[Finding]:
    if key not in names:
        meant = closest(key, names)
        # What it does not know, LiteLLM hands on to the provider, or ignores.
        if meant is not None:
            message = f"LiteLLM knows no {key} in {section}, and ignores it or hands it on"
            yield warning("litellm/key", inner, path, message, f"did you mean {meant}?")
        else:
            yield note("litellm/key", inner, path, f"LiteLLM knows no {key} in {section}", "check its name")


def _fallbacks(inner: InnerText, data: Mapping[str, Any]) -> Iterator[Finding]:
    """Names of models that others fall back to, or stand for."""
    known = [str(each.get("model_name")) for _, each in mappings(data.get("model_list"))]
    known += [str(name) for name in mapping(at(data, "router_settings", "model_group_alias"))]
    # A wildcard may be anything.
    if not known or any("*" in name for name in known) or data.get("include"):
        return
    for section in ("litellm_settings", "router_settings"):
        for key in ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks"):
            for path, name in _named(at(data, section, key)):
                if name not in known and name != "*":
                    meant = closest(name, known)
                    message = f"no model in model_list is named {name}: the fallback fails"
                    fix = f"did you mean {meant}?" if meant else f"name one of {listed(known)}"
                    yield warning("litellm/model", inner, (section, key, *path), message, fix)


def _named(fallbacks: object) -> Iterator[tuple[Path, str]]:
    """`[{a: [b, c]}]`: a, b and c with their paths."""
    for index, entry in mappings(fallbacks):
        for name, others in entry.items():
            yield (index, str(name)), str(name)
            for position, other in enumerate(items(others)):
                if isinstance(other, str):
                    yield (index, str(name), position), other


def _upstream(
    world: World, manifest: Manifest, inner: InnerText, index: int, params: Mapping[str, Any]
) -> Iterator[Finding]:
    """The model that is asked for, where it is asked for."""
    base, model = params.get("api_base"), params.get("model")
    if not isinstance(base, str) or not isinstance(model, str) or "://" not in base:
        return
    try:
        parts = urlsplit(base)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        yield error(
            "litellm/address",
            inner,
            ("model_list", index, "litellm_params", "api_base"),
            f"{base!r} is no address",
            "write http://SERVICE.NAMESPACE:PORT/v1",
        )
        return
    service, _, rest = host.partition(".")
    namespace = rest.split(".")[0] if rest else manifest.namespace
    if "." in host and not host.endswith((".svc", ".svc.cluster.local")) and rest.count(".") > 0:
        return
    path = ("model_list", index, "litellm_params")
    found = next(
        (
            each
            for each in world.services
            if each.name == service and same_namespace(each.namespace, namespace)
        ),
        None,
    )
    if found is not None and found.ports and (port or 80) not in {each[1] for each in found.ports}:
        message = f"Service {service} has no port {port or 80}: every request fails"
        fix = f"use one of {listed(str(each[1]) for each in found.ports)}"
        yield error("litellm/address", inner, (*path, "api_base"), message, fix)
    names = served_names(world, service, namespace)
    asked = model.partition("/")[2] or model
    if names is not None and asked not in names:
        meant = closest(asked, names)
        message = f"{found.owner.title if found else service} serves no model {asked!r}: every request fails"
        fix = f"did you mean {meant}?" if meant else f"it serves {listed(sorted(names))}"
        yield error("litellm/model", inner, (*path, "model"), message, fix)
