"""Objects against their schemas, as the API server would check them with strict field validation."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cluster.lint.findings import Finding, Severity
from cluster.lint.manifest import Manifest, error, mapping, note, warning
from cluster.lint.schemas import Kind, Schemas, group_of, metadata
from cluster.lint.strict import Misfit, misfits
from cluster.lint.words import closest, listed
from cluster.lint.yaml_text import Path

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_LABEL_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
# Names that are paths for the API server, and may hold more.
_FREE_NAMES = ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")
# https://kubernetes.io/docs/reference/using-api/deprecation-guide/; (apiVersion, kind) -> (gone since, what to write)
_REMOVED = {
    ("policy/v1beta1", "PodDisruptionBudget"): ("1.25", "policy/v1"),
    ("policy/v1beta1", "PodSecurityPolicy"): ("1.25", "labels of Pod Security Admission on the namespace"),
    ("batch/v1beta1", "CronJob"): ("1.25", "batch/v1"),
    ("autoscaling/v2beta1", "HorizontalPodAutoscaler"): ("1.25", "autoscaling/v2"),
    ("autoscaling/v2beta2", "HorizontalPodAutoscaler"): ("1.26", "autoscaling/v2"),
    ("networking.k8s.io/v1beta1", "Ingress"): ("1.22", "networking.k8s.io/v1"),
    ("extensions/v1beta1", "Ingress"): ("1.22", "networking.k8s.io/v1"),
    ("extensions/v1beta1", "Deployment"): ("1.16", "apps/v1"),
    ("apps/v1beta1", "Deployment"): ("1.16", "apps/v1"),
    ("apps/v1beta2", "Deployment"): ("1.16", "apps/v1"),
    ("rbac.authorization.k8s.io/v1beta1", "Role"): ("1.22", "rbac.authorization.k8s.io/v1"),
    ("rbac.authorization.k8s.io/v1beta1", "RoleBinding"): ("1.22", "rbac.authorization.k8s.io/v1"),
    ("rbac.authorization.k8s.io/v1beta1", "ClusterRole"): ("1.22", "rbac.authorization.k8s.io/v1"),
    ("rbac.authorization.k8s.io/v1beta1", "ClusterRoleBinding"): ("1.22", "rbac.authorization.k8s.io/v1"),
    ("apiextensions.k8s.io/v1beta1", "CustomResourceDefinition"): ("1.22", "apiextensions.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", "StorageClass"): ("1.22", "storage.k8s.io/v1"),
    ("scheduling.k8s.io/v1beta1", "PriorityClass"): ("1.22", "scheduling.k8s.io/v1"),
}


def check(manifests: list[Manifest], schemas: Schemas) -> Iterator[Finding]:
    """What is wrong with each object by itself."""
    unknown: set[tuple[str, str]] = set()
    for manifest in manifests:
        yield from _metadata(manifest)
        kind = schemas.kind(manifest.api_version, manifest.kind)
        if kind is not None:
            yield from _body(manifest, kind)
        elif (manifest.api_version, manifest.kind) not in unknown:
            unknown.add((manifest.api_version, manifest.kind))
            yield _unknown_kind(manifest, schemas)


def translated(misfit: Misfit) -> tuple[Severity, str]:
    """How bad it is, and the rule's name."""
    if misfit.kind in ("unknown-null", "unread-rule"):
        return Severity.NOTE, f"schema/{misfit.kind}"
    return Severity.ERROR, f"schema/{misfit.kind}"


def _body(manifest: Manifest, kind: Kind) -> Iterator[Finding]:
    for misfit in misfits(kind, manifest.data):
        severity, rule = translated(misfit)
        yield Finding(
            severity, rule, manifest.place(*misfit.path), misfit.message, misfit.fix, manifest.title
        )
    if not kind.is_namespaced and mapping(manifest.data.get("metadata")).get("namespace"):
        message = f"a {manifest.kind} lives in no namespace; the API server ignores this one"
        yield note("schema/namespace", manifest, ("metadata", "namespace"), message, "remove it")


def _metadata(manifest: Manifest) -> Iterator[Finding]:
    value = manifest.data.get("metadata")
    if value is None:
        yield error("schema/required", manifest, (), "metadata is missing", "add metadata with a name")
        return
    for misfit in misfits(metadata(), value, ("metadata",)):
        severity, rule = translated(misfit)
        yield Finding(
            severity, rule, manifest.place(*misfit.path), misfit.message, misfit.fix, manifest.title
        )
    if not manifest.name:
        yield error("schema/name", manifest, ("metadata",), "no name", "add metadata.name")
    elif manifest.kind not in _FREE_NAMES and (
        not _NAME.fullmatch(manifest.name) or len(manifest.name) > 253
    ):
        message = f"{manifest.name!r} is no name: small letters, digits, - and . only"
        yield error(
            "schema/name", manifest, ("metadata", "name"), message, f"write {_as_name(manifest.name)}"
        )
    for key, item in manifest.labels.items():
        yield from label_faults(manifest, ("metadata", "labels"), key, item)


def label_faults(manifest: Manifest, path: Path, key: str, value: str) -> Iterator[Finding]:
    """What the API server refuses of a label."""
    prefix, slash, name = key.rpartition("/")
    if not _LABEL_NAME.fullmatch(name) or (
        slash and (not _LABEL_PREFIX.fullmatch(prefix) or len(prefix) > 253)
    ):
        message = f"{key!r} is no label's key"
        yield error(
            "schema/label", manifest, (*path, key), message, "write letters, digits, - _ . and at most one /"
        )
    if value and not _LABEL_NAME.fullmatch(value):
        message = f"{value!r} is no label's value: at most 63 letters, digits, - _ and ."
        yield error(
            "schema/label", manifest, (*path, key), message, "put it into an annotation, or shorten it"
        )


def _unknown_kind(manifest: Manifest, schemas: Schemas) -> Finding:
    version, kind = manifest.api_version, manifest.kind
    removed = _REMOVED.get((version, kind))
    if removed is not None:
        message = f"{version} {kind} is gone since Kubernetes {removed[0]}"
        return error("schema/removed-api", manifest, ("apiVersion",), message, f"use {removed[1]}")
    group = group_of(version)
    others = schemas.versions(group, kind)
    if others:
        message = f"{kind} of {version} is not known; here it is {listed(others)}"
        fix = f"write {others[0]}, or give the CRD with --schemas"
        return warning("schema/version", manifest, ("apiVersion",), message, fix)
    homes = list(schemas.homes(kind))
    meant = closest(kind, schemas.kinds(group))
    if homes and (schemas.knows_group(version) or "." not in group):
        return error(
            "schema/kind", manifest, ("apiVersion",), f"{version} has no {kind}", f"write {homes[0]}"
        )
    if meant is not None:
        return error("schema/kind", manifest, ("kind",), f"{version} has no {kind}", f"did you mean {meant}?")
    message = f"{version} {kind} is not known here: its fields are not checked"
    return note("schema/kind", manifest, ("kind",), message, "give its CRD with --schemas")


def _as_name(text: str) -> str:
    return re.sub(r"[^a-z0-9.-]+", "-", text.lower()).strip("-.")
