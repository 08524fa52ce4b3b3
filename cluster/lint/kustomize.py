"""What a kustomization says: its fields, what it adds to the objects below it, what its generators make, its images.

Reads no objects; `builds` puts them together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.lint.manifest import items, mapping, mappings, texts
from cluster.lint.yaml_text import Path as Steps
from cluster.lint.yaml_text import read_documents

FILES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
# What is not applied: plugins, and what copies values between objects.
NOT_APPLIED = (
    "transformers", "replacements", "vars", "helmCharts", "helmChartInflationGenerator", "generators",
)  # fmt: skip
# https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/; kustomize refuses any other.
FIELDS = frozenset((
    "apiVersion", "kind", "metadata", "openapi", "namePrefix", "nameSuffix", "namespace", "commonLabels", "labels",
    "commonAnnotations", "patchesStrategicMerge", "patchesJson6902", "patches", "images", "imageTags", "replacements",
    "replicas", "vars", "sortOptions", "resources", "components", "crds", "bases", "configMapGenerator",
    "secretGenerator", "helmGlobals", "helmCharts", "helmChartInflationGenerator", "generatorOptions", "configurations",
    "generators", "transformers", "validators", "inventory", "buildMetadata",
))  # fmt: skip


@dataclass(frozen=True)
class Generated:
    """A ConfigMap or Secret that kustomize makes.

    Args:
        keys: in its data; None: not known.
        is_renamed: ends with a hash of its content, or gets a prefix.
    """

    kind: str
    name: str
    namespace: str
    keys: frozenset[str] | None
    is_renamed: bool = False


@dataclass(frozen=True)
class Layer:
    """What the kustomizations around an object add to it.

    Args:
        namespace: of every object that lives in one; empty: its own.
        labels: of every object.
        pod_labels: of every template of pods, too.
        is_patched: by something that is not applied here.
        is_renamed: gets a prefix or a suffix, which is not applied here.
        knows_names: is told of further fields that are names (`configurations`).
    """

    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    pod_labels: Mapping[str, str] = field(default_factory=dict)
    is_patched: bool = False
    is_renamed: bool = False
    knows_names: bool = False

    def within(self, kustomization: Mapping[str, Any]) -> Layer:
        """With what this kustomization adds; what is outside wins, as it is applied later."""
        own = kustomization.get("namespace")
        common = texts(kustomization.get("commonLabels"))
        labels, pod_labels = dict(common), dict(common)
        for _, entry in mappings(kustomization.get("labels")):
            labels |= texts(entry.get("pairs"))
            if entry.get("includeSelectors") is True or entry.get("includeTemplates") is True:
                pod_labels |= texts(entry.get("pairs"))
        return Layer(
            self.namespace or (own if isinstance(own, str) else ""),
            {**labels, **self.labels},
            {**pod_labels, **self.pod_labels},
            self.is_patched or any(kustomization.get(key) for key in NOT_APPLIED),
            self.is_renamed or bool(kustomization.get("namePrefix") or kustomization.get("nameSuffix")),
            self.knows_names or bool(kustomization.get("configurations") or kustomization.get("openapi")),
        )


def folders_named(path: Path) -> Iterator[Path]:
    """The folders that a kustomization takes in."""
    for document in read_documents(path.read_text("utf-8", "replace")):
        for key in ("resources", "bases", "components"):
            for entry in items(mapping(document.value).get(key)):
                yield (path.parent / str(entry)).resolve()


def generated(kustomization: Mapping[str, Any], layer: Layer) -> Iterator[Generated]:
    """What the generators make; `layer` is with this kustomization in it."""
    for key, kind in (("configMapGenerator", "ConfigMap"), ("secretGenerator", "Secret")):
        for _, entry in mappings(kustomization.get(key)):
            options = {**mapping(kustomization.get("generatorOptions")), **mapping(entry.get("options"))}
            has_hash = options.get("disableNameSuffixHash") is not True
            yield Generated(
                kind,
                str(entry.get("name", "")),
                layer.namespace or str(entry.get("namespace") or ""),
                _keys(entry),
                is_renamed=(has_hash or layer.is_renamed) and not layer.knows_names,
            )


def _keys(entry: Mapping[str, Any]) -> frozenset[str] | None:
    """The keys that a generator makes; None if they come from a file of variables."""
    if entry.get("env") or entry.get("envs") or entry.get("behavior") == "merge":
        return None
    names = {str(text).partition("=")[0] for text in items(entry.get("literals"))}
    for text in map(str, items(entry.get("files"))):
        names.add(text.partition("=")[0] if "=" in text else Path(text).name)
    return frozenset(names)


def images_of(value: Any, path: Steps = ()) -> Iterator[tuple[Steps, str]]:
    """Every image of a container with its path, at any depth, as kustomize looks for them."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key in ("containers", "initContainers"):
                for index, container in mappings(item):
                    if isinstance(container.get("image"), str):
                        yield (*path, key, index, "image"), container["image"]
            else:
                yield from images_of(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from images_of(item, (*path, index))


def image_name(image: str) -> str:
    """Without tag and digest: `registry:5000/a/b:1@sha256:x` is `registry:5000/a/b`."""
    name = image.partition("@")[0]
    last = name.rpartition("/")[2]
    return name[: len(name) - len(last)] + last.partition(":")[0]


def replaced_image(image: str, entry: Mapping[str, Any]) -> str:
    """The image as an entry of `images` makes it."""
    name = str(entry.get("newName") or image_name(image))
    if entry.get("digest"):
        return f"{name}@{entry['digest']}"
    if entry.get("newTag") is not None:
        return f"{name}:{entry['newTag']}"
    return name + image[len(image_name(image)) :]
