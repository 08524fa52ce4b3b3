"""What KubeRay's operator refuses of a RayJob and a RayCronJob; the source is that of `kuberay`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any
from zoneinfo import available_timezones

from cluster.lint.findings import Finding
from cluster.lint.manifest import Manifest, at, error, mapping, mappings, note
from cluster.lint.serve_config import check_runtime_env
from cluster.lint.yaml_text import Path, read_documents

_RULE = "kuberay/job"
_ORDER = ("DeleteWorkers", "DeleteCluster", "DeleteSelf")
_FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))  # of cron: minute, hour, day, month, weekday


def check_cron_job(manifest: Manifest) -> Iterator[Finding]:
    """A RayCronJob, and the job in it."""
    schedule = manifest.get("spec", "schedule")
    message = "RayCronJob needs the operator's feature gate RayCronJob, which is off by default"
    yield note("kuberay/feature-gate", manifest, ("kind",), message, "install KubeRay with RayCronJob on")
    if isinstance(schedule, str):
        if "TZ" in schedule:
            yield error(
                _RULE, manifest, ("spec", "schedule"), "a time zone within the schedule", "use spec.timeZone"
            )
        elif not is_schedule(schedule):
            yield error(
                _RULE,
                manifest,
                ("spec", "schedule"),
                f"{schedule!r} is no schedule of cron",
                "write five fields, 0 3 * * *, or @daily",
            )
    zone = manifest.get("spec", "timeZone")
    if isinstance(zone, str) and zone not in available_timezones():
        yield error(
            _RULE,
            manifest,
            ("spec", "timeZone"),
            f"{zone!r} is no time zone",
            "write one as Europe/Berlin, or remove it",
        )
    yield from check_job(manifest, ("spec", "jobTemplate"))


def is_schedule(text: str) -> bool:
    """Whether cron's parser takes it: five fields, or a word as @daily."""
    if text.startswith("@"):
        return text in (
            "@yearly",
            "@annually",
            "@monthly",
            "@weekly",
            "@daily",
            "@midnight",
            "@hourly",
        ) or text.startswith("@every ")
    fields = text.split()
    return len(fields) == len(_FIELDS) and all(
        _is_field(field, *bounds) for field, bounds in zip(fields, _FIELDS, strict=True)
    )


def _is_field(text: str, low: int, high: int) -> bool:
    for part in text.split(","):
        match = re.fullmatch(r"(\*|\?|[A-Za-z]{3}|\d+)(?:-([A-Za-z]{3}|\d+))?(?:/(\d+))?", part)
        if match is None or not all(
            low <= int(number) <= high for number in match.groups()[:2] if number and number.isdigit()
        ):
            return False
    return True


def check_job(manifest: Manifest, path: Path) -> Iterator[Finding]:
    """The spec of a RayJob at the path."""
    spec = mapping(manifest.get(*path))
    shuts_down = spec.get("shutdownAfterJobFinishes") is True
    selector = mapping(spec.get("clusterSelector"))
    if spec.get("suspend") is True and not shuts_down:
        yield error(
            _RULE,
            manifest,
            (*path, "suspend"),
            "a job can only be suspended with shutdownAfterJobFinishes: true",
            "set it",
        )
    if spec.get("suspend") is True and selector:
        yield error(
            _RULE,
            manifest,
            (*path, "suspend"),
            "a job on a cluster that it selects cannot be suspended",
            "remove suspend",
        )
    if _number(spec, "ttlSecondsAfterFinished") > 0 and not shuts_down:
        message = "ttlSecondsAfterFinished without shutdownAfterJobFinishes: true"
        yield error(
            _RULE, manifest, (*path, "ttlSecondsAfterFinished"), message, "set shutdownAfterJobFinishes: true"
        )
    for key, least in (
        ("ttlSecondsAfterFinished", 0),
        ("activeDeadlineSeconds", 1),
        ("preRunningDeadlineSeconds", 1),
        ("backoffLimit", 0),
    ):
        if isinstance(spec.get(key), int) and spec[key] < least:
            yield error(_RULE, manifest, (*path, key), f"{key} is {spec[key]}", f"write at least {least}")
    if not selector and spec.get("rayClusterSpec") is None:
        yield error(_RULE, manifest, path, "neither rayClusterSpec nor clusterSelector", "add one of the two")
    if selector and not selector.get("ray.io/cluster"):
        yield error(
            _RULE,
            manifest,
            (*path, "clusterSelector"),
            "clusterSelector names no cluster",
            "set ray.io/cluster in it",
        )
    yield from _mode(manifest, path, spec, selector)
    yield from _deletion(manifest, path, spec, is_selecting=bool(selector))
    environment = spec.get("runtimeEnvYAML")
    if isinstance(environment, str):
        for document in read_documents(environment):
            for fault in document.faults:
                yield error(_RULE, manifest, (*path, "runtimeEnvYAML"), fault.message, fault.fix)
        for inner in manifest.inner(*path, "runtimeEnvYAML"):
            yield from check_runtime_env(inner, (), inner.data, takes_folders=True)


def _mode(
    manifest: Manifest, path: Path, spec: Mapping[str, Any], selector: Mapping[str, Any]
) -> Iterator[Finding]:
    mode = spec.get("submissionMode")
    retries = _number(spec, "backoffLimit") > 0
    if retries and (mode == "InteractiveMode" or selector):
        what = "InteractiveMode" if mode == "InteractiveMode" else "clusterSelector"
        yield error(_RULE, manifest, (*path, "backoffLimit"), f"backoffLimit is not for {what}", "remove it")
    if mode != "SidecarMode":
        return
    for key in ("submitterPodTemplate", "submitterConfig", "clusterSelector"):
        if spec.get(key):
            yield error(
                _RULE, manifest, (*path, key), f"{key} is not for SidecarMode", "remove it, or use K8sJobMode"
            )
    where = ("rayClusterSpec", "headGroupSpec", "template", "spec", "restartPolicy")
    if at(spec, *where) not in (None, "", "Never"):
        yield error(
            _RULE,
            manifest,
            (*path, *where),
            "SidecarMode needs restartPolicy Never of the head",
            "write Never",
        )


def _deletion(
    manifest: Manifest, path: Path, spec: Mapping[str, Any], *, is_selecting: bool
) -> Iterator[Finding]:
    strategy = spec.get("deletionStrategy")
    if not isinstance(strategy, Mapping):
        return
    where = (*path, "deletionStrategy")
    rules = mappings(strategy.get("deletionRules"))
    is_autoscaled = at(spec, "rayClusterSpec", "enableInTreeAutoscaling") is True
    if rules and spec.get("shutdownAfterJobFinishes") is True:
        message = "deletionRules and shutdownAfterJobFinishes exclude each other"
        yield error(_RULE, manifest, (*where, "deletionRules"), message, "keep one of the two")
    legacy = [
        (("onSuccess",), at(strategy, "onSuccess", "policy")),
        (("onFailure",), at(strategy, "onFailure", "policy")),
    ]
    ruled = [(("deletionRules", index), rule.get("policy")) for index, rule in rules]
    for place, policy in (*legacy, *ruled):
        if is_selecting and policy in ("DeleteCluster", "DeleteWorkers"):
            yield error(
                _RULE,
                manifest,
                (*where, *place),
                f"{policy} is not for a cluster that the job only selects",
                "use DeleteSelf or DeleteNone",
            )
        elif is_autoscaled and policy == "DeleteWorkers":
            yield error(
                _RULE,
                manifest,
                (*where, *place),
                "DeleteWorkers is not for a cluster with the autoscaler",
                "use DeleteCluster",
            )
        elif policy == "DeleteNone" and spec.get("shutdownAfterJobFinishes") is True:
            yield error(
                _RULE,
                manifest,
                (*where, *place),
                "DeleteNone contradicts shutdownAfterJobFinishes: true",
                "keep one of the two",
            )
    yield from _order_of_deletion(manifest, where, rules)


def _order_of_deletion(
    manifest: Manifest, where: Path, rules: list[tuple[int, Mapping[str, Any]]]
) -> Iterator[Finding]:
    """Workers go no later than their cluster, and it no later than the job."""
    waits: dict[str, dict[str, tuple[int, int]]] = defaultdict(
        dict
    )  # condition -> policy -> (seconds, index)
    for index, rule in rules:
        condition = mapping(rule.get("condition"))
        key = str(condition.get("jobStatus") or condition.get("jobDeploymentStatus"))
        policy, seconds = str(rule.get("policy")), _number(condition, "ttlSeconds")
        if policy in waits[key]:
            yield error(
                _RULE,
                manifest,
                (*where, "deletionRules", index),
                f"a second rule for {policy} at {key}",
                "keep one",
            )
        waits[key][policy] = seconds, index
    for key, policies in waits.items():
        known = [(policy, *policies[policy]) for policy in _ORDER if policy in policies]
        for (first, seconds, _), (second, later, index) in pairwise(known):
            if later < seconds:
                message = f"at {key}, {second} after {later} s comes before {first} after {seconds} s"
                yield error(
                    _RULE, manifest, (*where, "deletionRules", index), message, f"write at least {seconds}"
                )


def _number(spec: Mapping[str, Any], key: str) -> int:
    value = spec.get(key)
    return value if isinstance(value, int) else 0
