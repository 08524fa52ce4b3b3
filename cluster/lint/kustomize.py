"""What a kustomization does to the objects below it, as far as lint follows it. Reads no objects itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.lint.manifest import items, mapping, mappings, texts
from cluster.lint.yaml_text import read_documents

FILES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
NOT_APPLIED = (
    "patches",
    "patchesStrategicMerge",
    "patchesJson6902",
    "transformers",
    "replacements",
    "helmCharts",
)


@dataclass(frozen=True)
class Layer:
    """What the kustomizations around an object add to it.

    Args:
        namespace: of every object that lives in one; empty: its own.
        labels: of every object.
        pod_labels: of every template of pods, too.
        is_patched: by something that is not applied here.
    """

    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    pod_labels: Mapping[str, str] = field(default_factory=dict)
    is_patched: bool = False

    def within(self, kustomization: Mapping[str, Any]) -> Layer:
        """With what this kustomization adds; what is outside wins, as it is applied later."""
        own = kustomization.get("namespace")
        common = texts(kustomization.get("commonLabels"))
        labels, pod_labels = dict(common), dict(common)
        for _, entry in mappings(kustomization.get("labels")):
            labels |= texts(entry.get("pairs"))
            if entry.get("includeSelectors") is True or entry.get("includeTemplates") is True:
                pod_labels |= texts(entry.get("pairs"))
        # A component patches what is beside it.
        does_patch = any(kustomization.get(key) for key in (*NOT_APPLIED, "components"))
        return Layer(
            self.namespace or (own if isinstance(own, str) else ""),
            {**labels, **self.labels},
            {**pod_labels, **self.pod_labels},
            self.is_patched or does_patch,
        )


def folders_named(path: Path) -> Iterator[Path]:
    """The folders that a kustomization takes in."""
    for document in read_documents(path.read_text("utf-8")):
        for key in ("resources", "bases", "components"):
            for entry in items(mapping(document.value).get(key)):
                yield (path.parent / str(entry)).resolve()


def generated_keys(entry: Mapping[str, Any]) -> frozenset[str] | None:
    """The keys that a generator makes; None if they come from a file of variables."""
    if entry.get("env") or entry.get("envs") or entry.get("behavior") == "merge":
        return None
    names = {str(text).partition("=")[0] for text in items(entry.get("literals"))}
    for text in map(str, items(entry.get("files"))):
        names.add(text.partition("=")[0] if "=" in text else Path(text).name)
    return frozenset(names)
