"""Objects against their schemas, as the API server would check them with strict field validation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from cluster.lint.findings import Finding, Severity
from cluster.lint.manifest import Manifest, error, mapping, note, warning
from cluster.lint.schemas import Kind, Schemas, group_of, metadata
from cluster.lint.strict import Misfit, misfits
from cluster.lint.templates import container_lists, pod_templates, ray_specs
from cluster.lint.words import closest, listed
from cluster.lint.world import is_known_maker, is_native
from cluster.lint.yaml_text import Path

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_LABEL_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
# Names that are paths for the API server, and may hold more.
_FREE_NAMES = ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")
_PLACEHOLDER = re.compile(r"\$\{\w+\}|\$[A-Z][A-Z_]+$")  # of envsubst
# (kind, path) of fields of former versions -> what they are now.
_FORMER = {
    ("NodePool", "spec.disruption.expireAfter"): "since Karpenter 1.0 it is spec.template.spec.expireAfter",
    ("NodePool", "spec.template.spec.kubelet"): "since Karpenter 1.0 it is spec.kubelet of the EC2NodeClass",
    (
        "NodePool",
        "spec.template.spec.nodeClassRef.apiVersion",
    ): "since Karpenter 1.0 it is group: karpenter.k8s.aws",
    (
        "NodePool",
        "spec.ttlSecondsAfterEmpty",
    ): "write spec.disruption.consolidateAfter, with consolidationPolicy: WhenEmpty",
    ("NodePool", "spec.ttlSecondsUntilExpired"): "write spec.template.spec.expireAfter",
    ("NodePool", "spec.consolidation"): "write spec.disruption.consolidationPolicy",
    ("NodePool", "spec.providerRef"): "write spec.template.spec.nodeClassRef",
    ("EC2NodeClass", "spec.subnetSelector"): "write subnetSelectorTerms, a list with tags or ids",
    (
        "EC2NodeClass",
        "spec.securityGroupSelector",
    ): "write securityGroupSelectorTerms, a list with tags or ids",
    ("EC2NodeClass", "spec.amiSelector"): "write amiSelectorTerms, a list with an alias, tags or ids",
    ("RayService", "spec.serveConfig"): "write serveConfigV2",
    ("RayCluster", "spec.networkIsolation"): "in KubeRay 1.7 it is networkPolicy",
    (
        "HorizontalPodAutoscaler",
        "spec.targetCPUUtilizationPercentage",
    ): "write metrics with a resource cpu and its target",
    ("Ingress", "spec.backend"): "write defaultBackend",
    ("Ingress", "spec.rules.http.paths.backend.serviceName"): "write backend.service.name",
    ("Ingress", "spec.rules.http.paths.backend.servicePort"): "write backend.service.port.number",
    ("ModelConfig", "spec.apiKeySecretRef"): "since v1alpha2 it is apiKeySecret",
}
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
    ("extensions/v1beta1", "NetworkPolicy"): ("1.16", "networking.k8s.io/v1"),
    ("apps/v1beta1", "StatefulSet"): ("1.16", "apps/v1"),
    ("apps/v1beta2", "StatefulSet"): ("1.16", "apps/v1"),
    ("extensions/v1beta1", "DaemonSet"): ("1.16", "apps/v1"),
    ("apps/v1beta2", "DaemonSet"): ("1.16", "apps/v1"),
}
# Kinds that operators had once.
_FORMER_KINDS = {
    ("karpenter.sh/v1alpha5", "Provisioner"): ("Karpenter 1.0", "NodePool of karpenter.sh/v1"),
    ("karpenter.sh/v1alpha5", "Machine"): ("Karpenter 1.0", "NodeClaim of karpenter.sh/v1"),
    ("karpenter.k8s.aws/v1alpha1", "AWSNodeTemplate"): (
        "Karpenter 1.0",
        "EC2NodeClass of karpenter.k8s.aws/v1",
    ),
    ("karpenter.sh/v1beta1", "NodePool"): ("Karpenter 1.1", "karpenter.sh/v1"),
    ("karpenter.sh/v1beta1", "NodeClaim"): ("Karpenter 1.1", "karpenter.sh/v1"),
    ("karpenter.k8s.aws/v1beta1", "EC2NodeClass"): ("Karpenter 1.1", "karpenter.k8s.aws/v1"),
}


def check(manifests: list[Manifest], schemas: Schemas) -> Iterator[Finding]:
    """What is wrong with each object by itself."""
    unknown: set[tuple[str, str]] = set()
    for manifest in manifests:
        if "{{" in manifest.name:
            message = f"{manifest.name} is a template of Helm ({{{{ }}}}), not rendered"
            fix = "render it first: helm template CHART | manta cluster lint -"
            yield error("yaml/template", manifest, ("metadata", "name"), message, fix)
            continue
        yield from _metadata(manifest)
        kind = schemas.kind(manifest.api_version, manifest.kind)
        if kind is not None:
            yield from _body(manifest, kind)
            yield from _template_metadata(manifest)
            continue
        if (manifest.api_version, manifest.kind) not in unknown:
            unknown.add((manifest.api_version, manifest.kind))
            yield _unknown_kind(manifest, schemas)
        yield from _templates(manifest, schemas)


def translated(misfit: Misfit) -> tuple[Severity, str]:
    """How bad it is, and the rule's name."""
    if misfit.kind in ("unknown-null", "unread-rule"):
        return Severity.NOTE, f"schema/{misfit.kind}"
    return Severity.ERROR, f"schema/{misfit.kind}"


def _body(manifest: Manifest, kind: Kind) -> Iterator[Finding]:
    for misfit in misfits(kind, manifest.data):
        yield _said(manifest, misfit)
    if not kind.is_namespaced and mapping(manifest.data.get("metadata")).get("namespace"):
        message = f"a {manifest.kind} lives in no namespace; the API server ignores this one"
        yield note("schema/namespace", manifest, ("metadata", "namespace"), message, "remove it")


def _said(manifest: Manifest, misfit: Misfit) -> Finding:
    severity, rule = translated(misfit)
    message, fix, value = misfit.message, misfit.fix, manifest.get(*misfit.path)
    if isinstance(value, str) and misfit.kind in ("value", "type") and _PLACEHOLDER.search(value):
        severity, rule = Severity.WARNING, "schema/placeholder"
        message, fix = (
            f"{value!r} has a placeholder that nobody filled in",
            "run envsubst, or what fills it in, first",
        )
    elif misfit.kind == "unknown-field":
        path = ".".join(step for step in misfit.path if isinstance(step, str))
        fix = _FORMER.get((manifest.kind, path), fix)
    return Finding(severity, rule, manifest.place(*misfit.path), message, fix, manifest.title)


def _templates(manifest: Manifest, schemas: Schemas) -> Iterator[Finding]:
    """What is Kubernetes' or KubeRay's own in an object of a kind that is not known."""
    if is_known_maker(manifest):
        return
    clusters = list(ray_specs(manifest.data))
    for path in clusters:
        yield from _inner(manifest, schemas, path, ("ray.io/v1", "RayCluster"), ("spec",))
    for path in pod_templates(manifest.data):
        if not any(path[: len(cluster)] == cluster for cluster in clusters):
            yield from _inner(manifest, schemas, path, ("v1", "PodTemplate"), ("template",))
    for path in container_lists(manifest.data):
        # What else is beside them is the kind's own, even where most of it is a pod's.
        yield from _inner(manifest, schemas, path, ("v1", "PodTemplate"), ("template", "spec", "containers"))


def _inner(
    manifest: Manifest, schemas: Schemas, path: Path, known: tuple[str, str], within: tuple[str, ...]
) -> Iterator[Finding]:
    """What is wrong with a part as it would be `within` an object of a known kind."""
    kind = schemas.kind(*known)
    if kind is None:
        return
    part: object = manifest.get(*path)
    for key in reversed(within):
        part = {key: part}
    whole = {"apiVersion": known[0], "kind": known[1], "metadata": {}, **mapping(part)}
    for misfit in misfits(kind, whole):
        found = _said(manifest, replace(misfit, path=(*path, *misfit.path[len(within) :])))
        # Its operator may know more fields.
        yield replace(found, severity=min(found.severity, Severity.WARNING))


def _template_metadata(manifest: Manifest) -> Iterator[Finding]:
    """Labels and annotations of pods, which CRDs leave open."""
    for path in pod_templates(manifest.data):
        value = manifest.get(*path, "metadata")
        if not isinstance(value, Mapping):
            continue
        if not is_native(manifest):
            for misfit in misfits(metadata(), value, (*path, "metadata")):
                yield _said(manifest, misfit)
        for key, item in mapping(value.get("labels")).items():
            if isinstance(item, str):
                yield from label_faults(manifest, (*path, "metadata", "labels"), str(key), item)


def _metadata(manifest: Manifest) -> Iterator[Finding]:
    value = manifest.data.get("metadata")
    if value is None:
        yield error("schema/required", manifest, (), "metadata is missing", "add metadata with a name")
        return
    for misfit in misfits(metadata(), value, ("metadata",)):
        yield _said(manifest, misfit)
    if _PLACEHOLDER.search(manifest.name):
        message = f"{manifest.name!r} has a placeholder that nobody filled in"
        fix = "run envsubst, or what fills it in, first"
        yield warning("schema/placeholder", manifest, ("metadata", "name"), message, fix)
    elif not manifest.name:
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
    """What the API server refuses of a label; a placeholder is none yet."""
    if _PLACEHOLDER.search(value) or "{{" in value:
        return
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
    if (version, kind) in _FORMER_KINDS:
        since, instead = _FORMER_KINDS[version, kind]
        message = f"{version} {kind} is gone since {since}"
        return error("schema/removed-api", manifest, ("apiVersion",), message, f"use {instead}")
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
