"""What a family of objects is made of: plain dicts, and a few shapes that every family writes the same way.

Knows no family and no file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cluster.plan_types import ClusterPlan
from cluster.render import names
from cluster.waves import WaveName
from configs.schema import PlatformConfig

Object = dict[str, Any]  # a Kubernetes object
Document = dict[str, Any]  # any other document: an IAM policy, a chart's values


@dataclass(frozen=True, slots=True)
class Family:
    """Objects of one kind of thing. They become `WAVE/NAME.yaml`; no objects, no file."""

    name: str
    wave: WaveName
    objects: Callable[[PlatformConfig, ClusterPlan], list[Object]]


@dataclass(frozen=True, slots=True)
class Extra:
    """Documents that are not for the Kubernetes API: path below the profile's folder -> document.

    A path that ends in `.json` is written as JSON, else as YAML.
    """

    name: str
    documents: Callable[[PlatformConfig, ClusterPlan], dict[str, Document]]


def metadata(
    name: str,
    component: str,
    namespace: str | None = None,
    *,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
) -> Object:
    """`metadata` of an object; without a namespace it is of the whole cluster."""
    made: Object = {"name": name}
    if namespace is not None:
        made["namespace"] = namespace
    made["labels"] = names.labels(component) | (labels or {})
    if annotations:
        made["annotations"] = annotations
    return made
