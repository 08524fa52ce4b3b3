"""What objects name is there: ConfigMaps, Secrets and their keys, service accounts, claims, classes of nodes.

What is not among the files may be in the cluster, so that it is a note. It is a warning where the files bring others of
its kind for that namespace, where the name is almost another's, and where it is one of another namespace; a key that an
object among the files does not have is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.lint.findings import Finding
from cluster.lint.manifest import Manifest, at, error, items, mapping, mappings, note, warning
from cluster.lint.words import closest, listed
from cluster.lint.world import Pods, World, same_namespace
from cluster.lint.yaml_text import Path

_CLOSE = 0.82  # names are long and alike on purpose: `chat-config` and `chat-secrets` are two things
# In every namespace, by Kubernetes itself.
_ALWAYS = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}
# With kagent's own chart.
_OF_CHARTS = {("ModelConfig", "default-model-config"), ("RemoteMCPServer", "kagent-tool-server")}
_ALWAYS_CLASSES = ("system-cluster-critical", "system-node-critical")


@dataclass(frozen=True)
class Reference:
    """An object that is named.

    Args:
        key: of its data that is asked for; empty: none in particular.
        namespace: that it is looked for in; empty: the owner's.
    """

    owner: Manifest
    path: Path
    kind: str
    name: str
    key: str = ""
    is_optional: bool = False
    namespace: str = ""


@dataclass(frozen=True)
class _Target:
    namespace: str
    keys: frozenset[str] | None = None  # None: not known
    is_renamed: bool = False  # by kustomize
    is_made: bool = False  # by an operator, of another object


Catalogue = Mapping[tuple[str, str], list[_Target]]  # (kind, name) -> where it is


def check(world: World) -> Iterator[Finding]:
    catalogue = _catalogue(world)
    for reference in _references(world):
        yield from _one(reference, catalogue)
    for pods in world.pods:
        yield from _files(pods, catalogue)


def _one(reference: Reference, catalogue: Catalogue) -> Iterator[Finding]:
    kind, name, owner, path = reference.kind, reference.name, reference.owner, reference.path
    if not name or (kind, name) in _ALWAYS:
        return
    namespace = reference.namespace or owner.namespace
    found = catalogue.get((kind, name), [])
    here = [target for target in found if same_namespace(target.namespace, namespace)]
    if here:
        yield from _key(reference, here)
        yield from _renamed(reference, here)
        return
    if reference.is_optional or (kind, name) in _OF_CHARTS:
        return
    if found:
        message = f"{kind} {name} is in the namespace {found[0].namespace}, and none is in {namespace}"
        yield warning("references/namespace", owner, path, message, f"make one in {namespace}")
        return
    others = {
        other: [target for target in targets if not target.is_made]
        for (other_kind, other), targets in catalogue.items()
        if other_kind == kind and not all(target.is_made for target in targets)
    }
    meant = closest(name, others, _CLOSE)
    if meant is not None:
        message = f"there is no {kind} {name} among these files"
        yield warning("references/missing", owner, path, message, f"did you mean {meant}?")
    elif any(
        same_namespace(target.namespace, namespace) for targets in others.values() for target in targets
    ):
        message = f"there is no {kind} {name} among these files, which bring {listed(sorted(others), 3)}"
        yield warning("references/missing", owner, path, message, "add it, or make it in the cluster first")
    else:
        message = f"{kind} {name} is not among these files: it must be in the cluster before"
        yield note("references/external", owner, path, message, "make it there first, or add it")


def _renamed(reference: Reference, targets: list[_Target]) -> Iterator[Finding]:
    """Kustomize follows the names that it changes within Kubernetes' own kinds, and within no others."""
    owner = reference.owner
    is_native = owner.group in ("", "apps", "batch") or owner.group.endswith(".k8s.io")
    if not is_native and all(target.is_renamed for target in targets):
        message = (
            f"kustomize renames {reference.kind} {reference.name} (a prefix, or a hash at the end), and does not "
            f"follow the name within a {owner.kind}: it is not found"
        )
        fix = "set generatorOptions.disableNameSuffixHash: true, or name the field in configurations (nameReference)"
        yield warning("kustomize/reference", owner, reference.path, message, fix)


def _key(reference: Reference, targets: list[_Target]) -> Iterator[Finding]:
    known = [target.keys for target in targets]
    if (
        not reference.key
        or reference.is_optional
        or any(keys is None or reference.key in keys for keys in known)
    ):
        return
    keys = sorted(frozenset().union(*(keys for keys in known if keys is not None)))
    meant = closest(reference.key, keys)
    fix = f"did you mean {meant}?" if meant else (f"it has {listed(keys)}" if keys else "add the key")
    message = f"{reference.kind} {reference.name} has no key {reference.key}: the pod never starts"
    yield error("references/key", reference.owner, reference.path, message, fix)


def _files(pods: Pods, catalogue: Catalogue) -> Iterator[Finding]:
    """Files of mounted ConfigMaps and Secrets, by the names that mounts and commands use."""
    volumes = {str(volume.get("name")): volume for _, volume in mappings(pods.spec.get("volumes"))}
    for path, container in pods.containers(with_init=True):
        for index, mount in mappings(container.get("volumeMounts")):
            files = _files_of(volumes.get(str(mount.get("name")), {}), pods.owner.namespace, catalogue)
            if files is None:
                continue
            inner, where = mount.get("subPath"), str(mount.get("mountPath", "")).rstrip("/")
            if isinstance(inner, str) and inner.partition("/")[0] not in files:
                yield _no_file(pods.owner, (*path, "volumeMounts", index, "subPath"), inner, files)
            elif where and not inner and "subPathExpr" not in mount:
                yield from _named_in_commands(pods.owner, path, container, where, files)


def _named_in_commands(
    owner: Manifest, path: Path, container: Mapping[str, Any], folder: str, files: frozenset[str]
) -> Iterator[Finding]:
    named = re.compile(rf"(?:^|[=\s\"']){re.escape(folder)}/(?P<name>[\w.-]+)(?=$|[\s\"';])")
    for key in ("command", "args"):
        for index, word in enumerate(items(container.get(key))):
            for match in named.finditer(word) if isinstance(word, str) else ():
                if match["name"] not in files:
                    yield _no_file(owner, (*path, key, index), match["name"], files)


def _no_file(owner: Manifest, path: Path, name: str, files: frozenset[str]) -> Finding:
    meant = closest(name, files)
    fix = f"did you mean {meant}?" if meant else f"it has {listed(sorted(files))}"
    return warning("references/file", owner, path, f"no file {name} is in what is mounted here", fix)


def _files_of(volume: Mapping[str, Any], namespace: str, catalogue: Catalogue) -> frozenset[str] | None:
    """The files that a volume of one ConfigMap or Secret has; None if nobody here knows."""
    for source, kind, key in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
        part = mapping(volume.get(source))
        chosen = mappings(part.get("items"))
        if chosen:
            return frozenset(str(each.get("path")).partition("/")[0] for _, each in chosen)
        targets = [
            each
            for each in catalogue.get((kind, str(part.get(key))), [])
            if same_namespace(each.namespace, namespace)
        ]
        if targets and all(each.keys is not None for each in targets):
            return frozenset(name for each in targets for name in each.keys or ())
    return None


def _catalogue(world: World) -> dict[tuple[str, str], list[_Target]]:
    """(kind, name) -> where such an object is or will be."""
    found: dict[tuple[str, str], list[_Target]] = {}

    def add(kind: str, name: object, target: _Target) -> None:
        if isinstance(name, str) and name:
            found.setdefault((kind, name), []).append(target)

    for manifest in world.manifests:
        own = _Target(manifest.namespace, _data_keys(manifest), manifest.is_renamed)
        add(manifest.kind, manifest.name, own)
        for name, keys in _made_secrets(manifest):
            add("Secret", name, _Target(manifest.namespace, keys, is_made=manifest.group == "ray.io"))
        for _, claim in mappings(manifest.get("spec", "volumeClaimTemplates")):
            add("PersistentVolumeClaim", at(claim, "metadata", "name"), _Target(manifest.namespace))
    for made in world.generated:
        add(made.kind, made.name, _Target(made.namespace, made.keys, made.is_renamed))
    return found


def _data_keys(manifest: Manifest) -> frozenset[str] | None:
    if manifest.kind not in ("ConfigMap", "Secret"):
        return None
    parts = [mapping(manifest.get(name)) for name in ("data", "stringData", "binaryData")]
    # An empty Secret is often a place that somebody else fills.
    return frozenset(key for part in parts for key in part) if any(parts) else None


def _made_secrets(manifest: Manifest) -> Iterator[tuple[object, frozenset[str] | None]]:
    """Secrets that an operator makes of the object."""
    if manifest.kind == "ExternalSecret":
        data = [str(each.get("secretKey")) for _, each in mappings(manifest.get("spec", "data"))]
        is_open = manifest.get("spec", "dataFrom") or manifest.get("spec", "target", "template")
        yield manifest.get("spec", "target", "name") or manifest.name, None if is_open else frozenset(data)
    elif manifest.kind == "SealedSecret":
        yield manifest.name, frozenset(mapping(manifest.get("spec", "encryptedData"))) or None
    elif manifest.kind == "Certificate":
        yield manifest.get("spec", "secretName"), frozenset(("tls.crt", "tls.key", "ca.crt"))
    elif manifest.kind == "SecretProviderClass":
        for _, each in mappings(manifest.get("spec", "secretObjects")):
            yield each.get("secretName"), None
    elif manifest.kind in ("RayCluster", "RayService") and manifest.group == "ray.io":
        yield manifest.name, None  # the token of authOptions


def _references(world: World) -> Iterator[Reference]:
    for pods in world.pods:
        owner = pods.owner
        for path, container in pods.containers(with_init=True):
            yield from _of_environment(owner, path, container)
        yield from _of_volumes(owner, pods.spec_path, pods.spec)
        account = pods.spec.get("serviceAccountName") or pods.spec.get("serviceAccount")
        if isinstance(account, str):
            yield Reference(owner, (*pods.spec_path, "serviceAccountName"), "ServiceAccount", account)
        for index, entry in mappings(pods.spec.get("imagePullSecrets")):
            yield Reference(
                owner, (*pods.spec_path, "imagePullSecrets", index), "Secret", str(entry.get("name", ""))
            )
        priority = pods.spec.get("priorityClassName")
        if isinstance(priority, str) and priority not in _ALWAYS_CLASSES:
            yield Reference(owner, (*pods.spec_path, "priorityClassName"), "PriorityClass", priority)
    for cluster in world.ray_clusters:
        for key in ("redisPassword", "redisUsername"):
            where = (*cluster.path, "gcsFaultToleranceOptions", key)
            yield from _of_value(
                cluster.owner, where, mapping(at(cluster.spec, "gcsFaultToleranceOptions", key))
            )
        secret: object = at(cluster.spec, "authOptions", "secretName")
        if isinstance(secret, str):
            yield Reference(cluster.owner, (*cluster.path, "authOptions", "secretName"), "Secret", secret)
    yield from _of_other_kinds(world)


def _of_environment(owner: Manifest, path: Path, container: Mapping[str, Any]) -> Iterator[Reference]:
    for index, entry in mappings(container.get("env")):
        yield from _of_value(owner, (*path, "env", index), entry)
    for index, entry in mappings(container.get("envFrom")):
        for key, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            source = mapping(entry.get(key))
            if source:
                where = (*path, "envFrom", index, key, "name")
                yield Reference(
                    owner,
                    where,
                    kind,
                    str(source.get("name", "")),
                    is_optional=source.get("optional") is True,
                )


def _of_value(owner: Manifest, path: Path, entry: Mapping[str, Any]) -> Iterator[Reference]:
    for key, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
        source = mapping(at(entry, "valueFrom", key))
        if source:
            where = (*path, "valueFrom", key)
            is_optional = source.get("optional") is True
            yield Reference(
                owner, where, kind, str(source.get("name", "")), str(source.get("key", "")), is_optional
            )


def _of_volumes(owner: Manifest, path: Path, spec: Mapping[str, Any]) -> Iterator[Reference]:
    for index, volume in mappings(spec.get("volumes")):
        where = (*path, "volumes", index)
        yield from _of_source(owner, where, volume)
        for inner, source in mappings(at(volume, "projected", "sources")):
            yield from _of_source(owner, (*where, "projected", "sources", inner), source)
        claim = at(volume, "persistentVolumeClaim", "claimName")
        if isinstance(claim, str):
            yield Reference(
                owner, (*where, "persistentVolumeClaim", "claimName"), "PersistentVolumeClaim", claim
            )


def _of_source(owner: Manifest, where: Path, source: Mapping[str, Any]) -> Iterator[Reference]:
    for key, kind, name_key in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
        part = mapping(source.get(key))
        if not part:
            continue
        named = name_key if name_key in part else "name"
        name, is_optional = str(part.get(named, "")), part.get("optional") is True
        yield Reference(owner, (*where, key, named), kind, name, is_optional=is_optional)
        for index, item in mappings(part.get("items")):
            yield Reference(
                owner, (*where, key, "items", index, "key"), kind, name, str(item.get("key", "")), is_optional
            )


def _of_other_kinds(world: World) -> Iterator[Reference]:
    for kinds, find in _FINDERS:
        for manifest in world.of(*kinds):
            yield from find(manifest)


def _of_agent(agent: Manifest) -> Iterator[Reference]:
    """kagent's: the model, the servers of its tools, the agents that it asks."""
    path: Path = ("spec", "declarative")
    if agent.group != "kagent.dev":
        return
    model = agent.get(*path, "modelConfig")
    if isinstance(model, str):
        yield _of_kagent(agent, (*path, "modelConfig"), "ModelConfig", model)
    text = mapping(agent.get(*path, "systemMessageFrom"))
    if text:
        where = (*path, "systemMessageFrom")
        yield Reference(
            agent, where, str(text.get("type")), str(text.get("name", "")), str(text.get("key", ""))
        )
    for index, tool in mappings(agent.get(*path, "tools")):
        for key, default in (("mcpServer", "MCPServer"), ("agent", "Agent")):
            named = mapping(tool.get(key))
            if isinstance(named.get("name"), str):
                where = (*path, "tools", index, key, "name")
                kind, name = str(named.get("kind") or default), named["name"]
                yield _of_kagent(agent, where, kind, name, str(named.get("namespace") or ""))
        yield from _of_headers(agent, (*path, "tools", index, "headersFrom"), tool.get("headersFrom"))


def _of_kagent(owner: Manifest, path: Path, kind: str, text: str, namespace: str = "") -> Reference:
    """`name`, or `namespace/name`."""
    before, _, name = text.rpartition("/")
    return Reference(owner, path, kind, name, namespace=before or namespace)


def _of_headers(owner: Manifest, path: Path, headers: object) -> Iterator[Reference]:
    for index, header in mappings(headers):
        source = mapping(header.get("valueFrom"))
        if source:
            kind, name, key = (str(source.get(part, "")) for part in ("type", "name", "key"))
            yield Reference(owner, (*path, index, "valueFrom"), kind, name, key)


def _of_model(model: Manifest) -> Iterator[Reference]:
    if model.group != "kagent.dev":
        return
    secret, key = model.get("spec", "apiKeySecret"), model.get("spec", "apiKeySecretKey")
    if isinstance(secret, str):
        yield Reference(model, ("spec", "apiKeySecret"), "Secret", secret, str(key or ""))
    yield from _of_certificate(model)


def _of_certificate(manifest: Manifest) -> Iterator[Reference]:
    tls = mapping(manifest.get("spec", "tls"))
    if isinstance(tls.get("caCertSecretRef"), str):
        path = ("spec", "tls", "caCertSecretRef")
        yield Reference(
            manifest, path, "Secret", tls["caCertSecretRef"], str(tls.get("caCertSecretKey") or "")
        )


def _of_server(server: Manifest) -> Iterator[Reference]:
    if server.group == "kagent.dev":
        yield from _of_headers(server, ("spec", "headersFrom"), server.get("spec", "headersFrom"))
        yield from _of_certificate(server)


def _of_route(route: Manifest) -> Iterator[Reference]:
    for index, parent in mappings(route.get("spec", "parentRefs")):
        if parent.get("kind", "Gateway") == "Gateway":
            namespace = str(parent.get("namespace") or "")
            path = ("spec", "parentRefs", index, "name")
            yield Reference(route, path, "Gateway", str(parent.get("name", "")), namespace=namespace)


def _of_pool(pool: Manifest) -> Iterator[Reference]:
    path: Path = ("spec", "template", "spec", "nodeClassRef")
    kind, name = pool.get(*path, "kind"), pool.get(*path, "name")
    # EKS Auto Mode has a class of its own, named default.
    if isinstance(name, str) and not (kind == "NodeClass" and name == "default"):
        yield Reference(pool, (*path, "name"), str(kind), name)


def _of_binding(binding: Manifest) -> Iterator[Reference]:
    role = str(binding.get("roleRef", "name") or "")
    is_built_in = role in ("view", "edit", "admin", "cluster-admin") or role.startswith("system:")
    if not is_built_in:
        yield Reference(binding, ("roleRef", "name"), str(binding.get("roleRef", "kind")), role)


def _of_scaled(scaled: Manifest) -> Iterator[Reference]:
    for index, trigger in mappings(scaled.get("spec", "triggers")):
        reference = mapping(trigger.get("authenticationRef"))
        if reference:
            kind, name = reference.get("kind", "TriggerAuthentication"), reference.get("name", "")
            path = ("spec", "triggers", index, "authenticationRef", "name")
            yield Reference(scaled, path, str(kind), str(name))


def _of_trigger_authentication(manifest: Manifest) -> Iterator[Reference]:
    for index, each in mappings(manifest.get("spec", "secretTargetRef")):
        path = ("spec", "secretTargetRef", index)
        yield Reference(manifest, path, "Secret", str(each.get("name", "")), str(each.get("key", "")))


def _of_ingress(ingress: Manifest) -> Iterator[Reference]:
    for index, tls in mappings(ingress.get("spec", "tls")):
        path = ("spec", "tls", index, "secretName")
        yield Reference(ingress, path, "Secret", str(tls.get("secretName") or ""))


def _of_external_secret(external: Manifest) -> Iterator[Reference]:
    store = mapping(external.get("spec", "secretStoreRef"))
    kind, name = store.get("kind", "SecretStore"), store.get("name", "")
    yield Reference(external, ("spec", "secretStoreRef", "name"), str(kind), str(name))


_FINDERS: tuple[tuple[tuple[str, ...], Callable[[Manifest], Iterator[Reference]]], ...] = (
    (("Agent", "SandboxAgent"), _of_agent),
    (("ModelConfig",), _of_model),
    (("RemoteMCPServer",), _of_server),
    (("HTTPRoute", "GRPCRoute"), _of_route),
    (("NodePool",), _of_pool),
    (("RoleBinding", "ClusterRoleBinding"), _of_binding),
    (("ScaledObject", "ScaledJob"), _of_scaled),
    (("TriggerAuthentication",), _of_trigger_authentication),
    (("Ingress",), _of_ingress),
    (("ExternalSecret",), _of_external_secret),
)
