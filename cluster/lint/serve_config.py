"""Ray Serve's config, as a file or as the text of a RayService: its schema, closed, and the rules of Ray's models.

Ray ignores a key that it does not know, so that a misspelt one is lost without a word; here it is an error. The schema
is in serve_schema.json, which `list_serve_schema` writes; the rules are those of ray/serve/schema.py and
ray/serve/config.py.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path as FilePath
from typing import Any

from cluster.lint.findings import Finding, Place, Severity
from cluster.lint.manifest import InnerText, Located, error, items, mapping, mappings, note, warning
from cluster.lint.schemas import Kind
from cluster.lint.serve_llm import BUILDERS, as_deployments, check_llm, llm_configs
from cluster.lint.strict import Misfit, misfits
from cluster.lint.words import closest
from cluster.lint.yaml_text import Document, Path, path_text

MANTA = "serve_app.app:build"  # our own application, whose args have a schema too

# Keys of former Rays -> what they are now. Ray still starts with them, and does as if they were not there.
_FORMER = {
    "max_concurrent_queries": "max_ongoing_requests",
    "target_num_ongoing_requests_per_replica": "target_ongoing_requests",
}
# https://docs.ray.io/en/latest/ray-core/handling-dependencies.html#api-reference
_RUNTIME_ENV = (
    "working_dir", "py_modules", "py_executable", "excludes", "pip", "uv", "conda", "env_vars", "nsight", "image_uri",
    "config", "worker_process_setup_hook", "container", "java_jars", "java_jvm_options", "eager_install", "mpi",
    "rocprof_sys", "_nsight",
)  # fmt: skip
_REMOTE = ("gcs", "http", "https", "s3", "gs", "azure", "abfss", "file", "local", "conda", "pip", "uv")


@dataclass(frozen=True, eq=False)
class ServeFile:
    """A Serve config that is a file of its own."""

    file: str
    document: Document

    @property
    def title(self) -> str:
        return "Serve config"

    @property
    def data(self) -> Any:
        return self.document.value

    def place(self, *path: str | int) -> Place:
        return Place(self.file, self.document.number, self.document.line_of(path), path_text(path))


ServeConfig = ServeFile | InnerText


def check(config: ServeConfig) -> Iterator[Finding]:
    """Everything that is wrong with a Serve config by itself."""
    data = config.data
    if not isinstance(data, Mapping):
        yield error(
            "serve/type",
            config,
            (),
            "no Serve config: a mapping with applications belongs here",
            "add applications",
        )
        return
    # The form with one application at the top, which `serve run` takes too.
    whole: Mapping[str, Any] = data if "applications" in data else {"applications": [data]}
    prefix: Path = () if "applications" in data else ("applications", 0)
    for misfit in misfits(_schema(), whole):
        yield _translated(config, misfit, misfit.path[len(prefix) :] if prefix else misfit.path)
    yield from _applications(config, data)
    for path, application in applications(config):
        yield from _application(config, path, application)


def applications(config: ServeConfig) -> list[tuple[Path, Mapping[str, Any]]]:
    """Each application with its path."""
    data = mapping(config.data)
    if "applications" not in data:
        return [((), data)] if "import_path" in data else []
    return [(("applications", index), each) for index, each in mappings(data.get("applications"))]


def deployments(config: ServeConfig) -> list[tuple[Path, Mapping[str, Any]]]:
    """Each deployment of each application with its path, those that Ray makes of models among them."""
    found: list[tuple[Path, Mapping[str, Any]]] = []
    for path, application in applications(config):
        found += [
            ((*path, "deployments", index), each) for index, each in mappings(application.get("deployments"))
        ]
        if application.get("import_path") in BUILDERS:
            found += as_deployments((*path, "args"), application.get("args"))
    return found


@cache
def _schema() -> Kind:
    document = json.loads(FilePath(__file__).with_name("serve_schema.json").read_text())
    return Kind(document["schema"], tuple(document["parts"]), is_namespaced=False, is_native=True)


@cache
def _deployment_schema() -> Kind:
    whole = _schema()

    def below(schema: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        inner = whole.parts[schema["$ref"]] if "$ref" in schema else schema
        found: Mapping[str, Any] = inner["items"] if key == "[]" else inner["properties"][key]
        return found

    found: Mapping[str, Any] = whole.schema
    for key in ("applications", "[]", "deployments", "[]"):
        found = below(found, key)
    return Kind(dict(found), whole.parts, is_namespaced=False, is_native=True)


def _translated(config: Located, misfit: Misfit, path: Path) -> Finding:
    name = str(path[-1]) if path else ""
    if misfit.kind == "unknown-field" and name in _FORMER:
        message = f"{name} is a key of former Rays: Ray ignores it"
        return warning("serve/former-field", config, path, message, f"write {_FORMER[name]}")
    message = f"{misfit.message}; Ray ignores it" if misfit.kind == "unknown-field" else misfit.message
    # Ray's models take a number for a text that says one, as pydantic does.
    severity = (
        Severity.WARNING if misfit.kind == "type" and "without quotes" in misfit.fix else Severity.ERROR
    )
    return Finding(severity, f"serve/{misfit.kind}", config.place(*path), message, misfit.fix, config.title)


def _applications(config: ServeConfig, data: Mapping[str, Any]) -> Iterator[Finding]:
    named = applications(config)
    names = Counter(str(each.get("name", "default")) for _, each in named)
    routes = Counter(_route_of(each) for _, each in named)
    seen: set[object] = set()
    for path, each in named:
        name, route = str(each.get("name", "default")), _route_of(each)
        if names[name] > 1 and ("name", name) in seen:
            yield error(
                "serve/application",
                config,
                path,
                f"a second application named {name!r}",
                "give each a name of its own",
            )
        if route is not None and routes[route] > 1 and ("route", route) in seen:
            message = f"a second application at route_prefix {route!r}"
            yield error(
                "serve/route", config, (*path, "route_prefix"), message, "give each a route of its own"
            )
        seen |= {("name", name), ("route", route)}
    if "applications" in data and not items(data["applications"]):
        yield warning(
            "serve/application", config, ("applications",), "no application: nothing is served", "add one"
        )


def _route_of(application: Mapping[str, Any]) -> str | None:
    route = application.get("route_prefix", "/")
    return route if isinstance(route, str) else None


def _application(config: ServeConfig, path: Path, application: Mapping[str, Any]) -> Iterator[Finding]:
    yield from _import_path(config, path, application.get("import_path"))
    yield from _route(config, path, application.get("route_prefix"))
    yield from check_runtime_env(config, (*path, "runtime_env"), application.get("runtime_env"))
    if path:
        for key in ("host", "port"):
            if key in application:
                message = f"{key} of one application among several: Ray refuses it"
                yield error("serve/http", config, (*path, key), message, f"move it to http_options.{key}")
    if application.get("import_path") == MANTA:
        yield from _platform(config, (*path, "args"), application.get("args"))
    elif application.get("import_path") in BUILDERS:
        yield from _llm(config, (*path, "args"), application.get("args"))
    names: set[str] = set()
    for index, deployment in mappings(application.get("deployments")):
        where = (*path, "deployments", index)
        name = str(deployment.get("name", ""))
        if name in names:
            yield error(
                "serve/deployment", config, where, f"a second deployment named {name!r}", "keep one of them"
            )
        names.add(name)
        yield from _deployment(config, where, deployment)
        if application.get("external_scaler_enabled") is True and _scales_itself(deployment):
            message = f"{name} scales itself, and external_scaler_enabled says that something else does"
            yield error("serve/scaling", config, where, message, "keep one of the two")


def _platform(config: ServeConfig, path: Path, args: object) -> Iterator[Finding]:
    """Our own application's settings, by their own schema."""
    from pydantic import ValidationError

    from configs.schema import PlatformConfig

    try:
        PlatformConfig.model_validate(dict(mapping(args)))
    except ValidationError as exc:
        for fault in exc.errors(include_url=False, include_input=False):
            key = ".".join(str(part) for part in fault["loc"])
            message = f"{key}: {fault['msg']}" if key else fault["msg"]
            yield error(
                "serve/platform",
                config,
                (*path, *fault["loc"]),
                message,
                "docs/configuration.md has all settings",
            )


def _llm(config: ServeConfig, path: Path, args: object) -> Iterator[Finding]:
    """Models of Ray Serve LLM's, and the deployments that it makes of them."""
    yield from check_llm(config, path, args)
    for where, llm in llm_configs(path, args):
        yield from check_runtime_env(config, (*where, "runtime_env"), llm.get("runtime_env"))
        for misfit in misfits(_deployment_schema(), {"name": "", **mapping(llm.get("deployment_config"))}):
            yield _translated(config, misfit, (*where, "deployment_config", *misfit.path))
        yield from _deployment(config, (*where, "deployment_config"), mapping(llm.get("deployment_config")))


def _scales_itself(deployment: Mapping[str, Any]) -> bool:
    return deployment.get("num_replicas") == "auto" or deployment.get("autoscaling_config") is not None


def _import_path(config: ServeConfig, path: Path, value: object) -> Iterator[Finding]:
    if not isinstance(value, str):
        return
    mark = ":" if ":" in value else "."
    is_right = value.count(":") <= 1 and mark in value and value[:1] != mark and value[-1:] != mark
    if not is_right:
        yield error(
            "serve/import-path",
            config,
            (*path, "import_path"),
            f"{value!r} is no import path",
            "write module.sub:name",
        )


def _route(config: ServeConfig, path: Path, value: object) -> Iterator[Finding]:
    if not isinstance(value, str):
        return
    if not value.startswith("/") or (len(value) > 1 and value.endswith("/")) or "{" in value or "}" in value:
        message = f"{value!r} is no route prefix: it begins with /, does not end with one, and has no braces"
        fixed = "/" + value.strip("/").replace("{", "").replace("}", "")
        yield error("serve/route", config, (*path, "route_prefix"), message, f"write {fixed}")


def check_runtime_env(
    config: Located, path: Path, value: object, *, takes_folders: bool = False
) -> Iterator[Finding]:
    """What Ray refuses or does not know of a runtime_env.

    Args:
        takes_folders: of the machine that hands it in, as jobs do.
    """
    environment = mapping(value)
    for key in environment:
        if key not in _RUNTIME_ENV:
            meant = closest(str(key), _RUNTIME_ENV)
            message = (
                f"{key} is no part of a runtime_env: Ray hands it to a plugin of that name, or ignores it"
            )
            yield warning(
                "serve/runtime-env",
                config,
                (*path, key),
                message,
                f"did you mean {meant}?" if meant else "remove it",
            )
    for key, item in mapping(environment.get("env_vars")).items():
        if not isinstance(item, str):
            message = f"env_vars.{key} is no text: Ray refuses it"
            yield error("serve/runtime-env", config, (*path, "env_vars", str(key)), message, "quote it")
    folders: list[tuple[Path, object]] = [(("working_dir",), environment.get("working_dir"))]
    folders += [
        (("py_modules", index), each) for index, each in enumerate(items(environment.get("py_modules")))
    ]
    for where, folder in folders:
        if takes_folders:
            break
        if isinstance(folder, str) and folder and folder.partition("://")[0] not in _REMOTE:
            message = f"{folder!r} is no URI: Ray takes remote ones, and local:// for what the image has"
            yield error(
                "serve/runtime-env",
                config,
                (*path, *where),
                message,
                "upload it as a zip, or put it into the image",
            )


def _deployment(config: ServeConfig, path: Path, deployment: Mapping[str, Any]) -> Iterator[Finding]:
    yield from _replicas(config, path, deployment)
    yield from check_runtime_env(
        config,
        (*path, "ray_actor_options", "runtime_env"),
        mapping(deployment.get("ray_actor_options")).get("runtime_env"),
    )
    queued = deployment.get("max_queued_requests")
    if isinstance(queued, int) and queued < 1 and queued != -1:
        yield error(
            "serve/value",
            config,
            (*path, "max_queued_requests"),
            f"max_queued_requests is {queued}",
            "write -1 (no limit), or at least 1",
        )
    per_node, bundles = deployment.get("max_replicas_per_node"), deployment.get("placement_group_bundles")
    if per_node is not None and bundles is not None:
        message = "max_replicas_per_node and placement_group_bundles exclude each other"
        yield error("serve/value", config, (*path, "max_replicas_per_node"), message, "keep one of the two")
    if deployment.get("gang_scheduling_config") is not None:
        for key in ("max_replicas_per_node", "placement_group_strategy"):
            if deployment.get(key) is not None:
                yield error(
                    "serve/value",
                    config,
                    (*path, key),
                    f"{key} and gang_scheduling_config exclude each other",
                    "keep one of the two",
                )
    selectors = deployment.get("placement_group_bundle_label_selector")
    if selectors is not None and len(items(selectors)) not in (1, len(items(bundles))):
        message = "placement_group_bundle_label_selector has neither one selector nor one for each bundle"
        yield error(
            "serve/value",
            config,
            (*path, "placement_group_bundle_label_selector"),
            message,
            "give one, or as many as bundles",
        )


def _replicas(config: ServeConfig, path: Path, deployment: Mapping[str, Any]) -> Iterator[Finding]:
    count, scaling = deployment.get("num_replicas"), deployment.get("autoscaling_config")
    if isinstance(count, str) and count != "auto":
        yield error(
            "serve/scaling",
            config,
            (*path, "num_replicas"),
            f"num_replicas is {count!r}",
            'write a number, or "auto"',
        )
    if isinstance(count, int) and count < 1:
        fix = "write at least 1; to scale to none, use autoscaling_config.min_replicas: 0"
        yield error("serve/scaling", config, (*path, "num_replicas"), f"num_replicas is {count}", fix)
    if isinstance(count, int) and isinstance(scaling, Mapping):
        message = "num_replicas and autoscaling_config are both given: Ray refuses it"
        yield error("serve/scaling", config, (*path, "num_replicas"), message, "keep one of the two")
    if not isinstance(scaling, Mapping):
        return
    least, most = replica_bounds(deployment)
    where = (*path, "autoscaling_config")
    if least > most:
        said = "" if "max_replicas" in scaling else ", which is 1 unless it is given"
        message = f"min_replicas {least} is above max_replicas {most}{said}"
        yield error(
            "scaling/min-max",
            config,
            (*where, "min_replicas"),
            message,
            f"lower min_replicas, or set max_replicas to {least}",
        )
    first = scaling.get("initial_replicas")
    if isinstance(first, int) and least <= most and not least <= first <= most:
        message = f"initial_replicas {first} is not within {least} to {most}"
        yield error(
            "scaling/min-max",
            config,
            (*where, "initial_replicas"),
            message,
            f"write {min(max(first, least), most)}",
        )
    period, interval = scaling.get("look_back_period_s"), scaling.get("metrics_interval_s", 10)
    if isinstance(period, (int, float)) and isinstance(interval, (int, float)) and period <= interval:
        message = f"look_back_period_s {period} is not longer than metrics_interval_s {interval}: nothing to average"
        yield note(
            "serve/scaling", config, (*where, "look_back_period_s"), message, f"write more than {interval}"
        )


def replica_bounds(deployment: Mapping[str, Any]) -> tuple[int, int]:
    """(least, most) replicas, with the defaults of Ray's AutoscalingConfig."""
    scaling, count = deployment.get("autoscaling_config"), deployment.get("num_replicas")
    if not isinstance(scaling, Mapping) and count != "auto":
        number = count if isinstance(count, int) else 1
        return number, number
    least = mapping(scaling).get("min_replicas", 1)
    most = mapping(scaling).get("max_replicas", 100 if count == "auto" else 1)
    return (least if isinstance(least, int) else 1), (most if isinstance(most, int) else 1)
