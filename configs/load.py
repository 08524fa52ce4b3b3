"""The only reader of profiles and workloads (YAML) and of the environment.

A profile is a Serve config file whose application's `args` are the PlatformConfig, so `serve run`,
`serve build` and `serve deploy` take the same file. A workload is the Workload tree itself. Faults become
a ProfileError that names the file and the key.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs
import yaml
from pydantic import ValidationError

from configs import serve_keys
from configs.schema import PlatformConfig, SecretRef, TracingConfig
from configs.simulation import Simulation, Stack
from configs.workload import Workload

IMPORT_PATH = "serve_app.app:build"


class ProfileError(Exception):
    """A profile or workload that cannot be used; the message names the file or the key, on one line."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile file, read and checked."""

    path: Path
    app_name: str
    route_prefix: str
    host: str
    port: int
    platform: PlatformConfig
    # For whoever hands the file on to Serve: what it says beside the application, and of the application beside `args`.
    serve_options: Mapping[str, Any] = field(default_factory=dict)
    application: Mapping[str, Any] = field(default_factory=dict)


def read_profile(path: Path) -> Profile:
    """Read a Serve config file that holds one Manta application.

    Raises:
        ProfileError: the file is not there, is not YAML, or says something that Manta does not know.
    """
    document = _read_yaml(path, "a Serve config file (a mapping with `applications`)")
    applications = document.get("applications")
    if not isinstance(applications, list) or len(applications) != 1 or not isinstance(applications[0], dict):
        raise ProfileError(f"{path}: needs exactly one entry under `applications`")
    application: dict[str, Any] = applications[0]
    if application.get("import_path") != IMPORT_PATH:
        raise ProfileError(f"{path}: applications.0.import_path must be {IMPORT_PATH}")
    if wrong := "; ".join(serve_keys.faults(document, application)):
        raise ProfileError(f"{path}: {wrong}")
    http = document.get("http_options") or {}
    try:
        platform = parse_platform(application.get("args") or {})
    except ProfileError as exc:
        raise ProfileError(f"{path}: {exc}") from exc
    return Profile(
        path=path,
        app_name=str(application.get("name", "manta")),
        route_prefix=str(application.get("route_prefix", "/")),
        host=str(http.get("host", "127.0.0.1")),
        port=_port(path, http.get("port", 8000)),
        platform=platform,
        serve_options={key: value for key, value in document.items() if key != "applications"},
        application={key: value for key, value in application.items() if key != "args"},
    )


def parse_platform(args: Mapping[str, Any] | PlatformConfig) -> PlatformConfig:
    """The checked tree.

    Raises:
        ProfileError: every fault in one line, each with its key.
    """
    if isinstance(args, PlatformConfig):
        return args
    try:
        return PlatformConfig.model_validate(dict(args))
    except ValidationError as exc:
        raise ProfileError(_one_line(exc)) from exc


def read_workload(path: Path) -> Workload:
    """Read a load test's workload.

    Relative paths in it (of traces and texts) stay as they are: they count from the working directory.

    Raises:
        ProfileError: the file is not there, is not YAML, or says something that no workload has.
    """
    document = read_workload_document(path)
    try:
        return parse_workload(document)
    except ProfileError as exc:
        raise ProfileError(f"{path}: {exc}") from exc


def read_workload_document(path: Path) -> dict[str, Any]:
    """A workload's file as it is, for a caller that changes it before it is checked.

    Raises:
        ProfileError: the file is not there, or is no YAML mapping.
    """
    return _read_yaml(path, "a workload (a mapping with `arrivals` and `requests`)")


def parse_workload(document: Mapping[str, Any]) -> Workload:
    """The checked tree.

    Raises:
        ProfileError: every fault in one line, each with its key.
    """
    try:
        return Workload.model_validate(dict(document))
    except ValidationError as exc:
        raise ProfileError(_one_line(exc)) from exc


@dataclass(frozen=True, slots=True)
class SimulationFile:
    """A simulation's file, read and checked, with what it refers to."""

    path: Path
    simulation: Simulation
    workload: Workload
    stacks: Mapping[str, Stack]  # "base", then each variant's name


def read_simulation(path: Path) -> SimulationFile:
    """Read a simulation with its workload, its calibration and its variants.

    The paths of the workload and the calibration are relative to the file.

    Raises:
        ProfileError: one of the files is not there or cannot be read, or says something that no simulation has.
    """
    document = _read_yaml(path, "a simulation (a mapping with `workload` and `stack`)")
    stack = document.get("stack")
    if isinstance(stack, dict) and isinstance(stack.get("service"), str):
        document["stack"] = stack | {"service": _read_service(path.parent / stack["service"])}
    try:
        simulation = Simulation.model_validate(document)
    except ValidationError as exc:
        raise ProfileError(f"{path}: {_one_line(exc)}") from exc
    stacks = {"base": simulation.stack}
    for variant in simulation.variants:
        changed = _merged(document["stack"], variant.changes)
        try:
            stacks[variant.name] = Stack.model_validate(changed)
        except ValidationError as exc:
            raise ProfileError(f"{path}: variant {variant.name}: {_one_line(exc)}") from exc
    return SimulationFile(path, simulation, read_workload(path.parent / simulation.workload), stacks)


class _ManifestLoader(yaml.CSafeLoader):
    """As Kubernetes reads YAML: what looks like a date is a text."""


_ManifestLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def read_manifests(path: Path) -> list[dict[str, Any]]:
    """The documents of a YAML or JSON file, empty ones left out.

    Raises:
        ProfileError: the file is not there, is not YAML, or holds something that is no mapping.
    """
    try:
        texts = yaml.load_all(path.read_text(encoding="utf-8"), Loader=_ManifestLoader)
        documents = [one for one in texts if one is not None]
    except OSError as exc:
        raise ProfileError(f"{path}: {exc.strerror or exc}") from exc
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise ProfileError(f"{path}: not YAML: {' '.join(str(exc).split())}") from exc
    for one in documents:
        if not isinstance(one, dict):
            raise ProfileError(f"{path}: holds a {type(one).__name__} where an object should be")
    return documents


def _read_service(path: Path) -> object:
    """The service model of a calibration's file (JSON, which is YAML too)."""
    document = _read_yaml(path, "a calibration (a mapping with `service`)")
    if "service" not in document:
        raise ProfileError(f"{path}: is not a calibration: it has no `service`")
    return document["service"]


def _merged(base: Mapping[str, Any], changes: Mapping[str, object]) -> dict[str, Any]:
    """`base` with the keys of `changes` in it, as deep as these go."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def home(platform: PlatformConfig) -> Path:
    """The folder for data and weights: the config's, else MANTA_HOME, else the user's data folder."""
    return Path(platform.home).expanduser() if platform.home else default_home()


def manta_folder() -> Path:
    """The checkout, or the application's folder in an image: what relative paths of a profile count from."""
    return Path(__file__).resolve().parents[1]


def default_profile() -> Path:
    """The profile of a caller that names none: MANTA_PROFILE, else configs/local.yaml of this checkout."""
    chosen = os.environ.get("MANTA_PROFILE")
    return Path(chosen).expanduser() if chosen else manta_folder() / "configs" / "local.yaml"


def default_home() -> Path:
    chosen = os.environ.get("MANTA_HOME")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_data_dir("manta"))


def secret(reference: SecretRef) -> str:
    """The secret's value.

    Raises:
        ProfileError: it is not set; the message names the variable, never a value.
    """
    value = os.environ.get(reference.env, "")
    if not value:
        raise ProfileError(f"the environment variable {reference.env} is not set")
    return value


def tracing(config: TracingConfig) -> TracingConfig:
    """With what OpenTelemetry's own variables say, where the profile says nothing.

    OTEL_SDK_DISABLED turns traces off. https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/

    Raises:
        ProfileError: a variable says something that is not known here.
    """
    if _env("OTEL_SDK_DISABLED").lower() == "true":
        return config.model_copy(update={"exporters": ()})
    changes: dict[str, Any] = {}
    if not config.exporters:
        changes["exporters"] = _exporters()
    if name := _env("OTEL_SERVICE_NAME"):
        changes["service_name"] = name
    if "sample_ratio" not in config.model_fields_set and (sampler := _env("OTEL_TRACES_SAMPLER")):
        changes["sample_ratio"] = _sample_ratio(sampler)
    try:
        return TracingConfig.model_validate(config.model_dump(exclude_unset=True) | changes)
    except ValidationError as exc:
        raise ProfileError(_one_line(exc)) from exc


def _exporters() -> tuple[dict[str, Any], ...]:
    names = [name for name in (one.strip() for one in _env("OTEL_TRACES_EXPORTER").split(",")) if name]
    if not names and (_env("OTEL_EXPORTER_OTLP_ENDPOINT") or _env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")):
        names = ["otlp"]
    known = {"otlp", "console", "jaeger", "langfuse", "none"}
    for name in names:
        if name not in known:
            listed = ", ".join(sorted(known))
            raise ProfileError(f"OTEL_TRACES_EXPORTER names {name!r}, which is none of: {listed}")
    langfuse_url = _env("LANGFUSE_BASE_URL") or _env("LANGFUSE_HOST")
    more = {"langfuse": {"base_url": langfuse_url} if langfuse_url else {}}
    return tuple({"kind": name, **more.get(name, {})} for name in dict.fromkeys(names) if name != "none")


def _sample_ratio(sampler: str) -> float:
    fixed = {"always_on": 1.0, "always_off": 0.0}
    kind = sampler.removeprefix("parentbased_")
    if kind in fixed:
        return fixed[kind]
    if kind != "traceidratio":
        raise ProfileError(
            f"OTEL_TRACES_SAMPLER is {sampler!r}; known are always_on, always_off and traceidratio"
        )
    try:
        return float(_env("OTEL_TRACES_SAMPLER_ARG") or 1.0)
    except ValueError as exc:
        raise ProfileError("OTEL_TRACES_SAMPLER_ARG is a number from 0 to 1") from exc


def _env(name: str) -> str:
    return os.environ.get(name, "").strip()


def api_key() -> str | None:
    """The API key of whoever runs a command, from MANTA_API_KEY; None: there is none."""
    return os.environ.get("MANTA_API_KEY") or None


@dataclass(frozen=True, slots=True)
class Hub:
    """The model hub that weights come from. The token is a secret and stays out of the repr."""

    endpoint: str  # without a slash at the end
    token: str | None = field(default=None, repr=False)


def hub() -> Hub:
    """The hub of HF_ENDPOINT (a mirror, for example) with the token of HF_TOKEN, if there is one."""
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    return Hub(endpoint.rstrip("/"), os.environ.get("HF_TOKEN") or None)


def visible_neuron_cores() -> str | None:
    """The NeuronCores that Ray gave to this process, as it says them; None: it gave none."""
    return os.environ.get("NEURON_RT_VISIBLE_CORES")


def nodes_may_come() -> bool:
    """Whether something adds nodes to the Ray that this process is on: KubeRay, or the launcher of `ray up`."""
    on_kubernetes = "KUBERNETES_SERVICE_HOST" in os.environ
    return on_kubernetes or Path("~/ray_bootstrap_config.yaml").expanduser().exists()


def openmp_is_configured() -> bool:
    """Whether the user said how OpenMP's threads wait."""
    return any(name in os.environ for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"))


def _read_yaml(path: Path, what: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise ProfileError(f"{path}: no such file") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise ProfileError(f"{path}: cannot be read: {exc}") from exc
    except yaml.YAMLError as exc:
        raise ProfileError(f"{path}: is not YAML: {' '.join(str(exc).split())}") from exc
    if not isinstance(document, dict):
        raise ProfileError(f"{path}: is not {what}")
    return document


def _port(path: Path, value: object) -> int:
    if not isinstance(value, int) or not 1 <= value <= 65535:
        raise ProfileError(f"{path}: http_options.port must be a number from 1 to 65535, not {value!r}")
    return value


def _one_line(exc: ValidationError) -> str:
    faults = []
    for error in exc.errors(include_url=False, include_input=False):
        key = ".".join(str(part) for part in error["loc"])
        faults.append(f"{key}: {error['msg']}" if key else error["msg"].removeprefix("Value error, "))
    return "; ".join(faults)
