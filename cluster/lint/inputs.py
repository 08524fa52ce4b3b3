"""Files, folders, kustomizations and standard input to objects. What cannot be read is a finding, not an exception.

A folder with a kustomization gives what that names, without running kustomize: its namespace and labels are applied,
its generators count as objects that exist, its patches are not applied. Any other folder gives all YAML and JSON in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.lint.findings import Finding, Place, Severity
from cluster.lint.kustomize import FILES, NOT_APPLIED, Layer, folders_named, generated_keys
from cluster.lint.manifest import Manifest, items, mapping, mappings
from cluster.lint.words import closest
from cluster.lint.yaml_text import Document, Fault, path_text, read_documents

_SUFFIXES = (".yaml", ".yml", ".json")
# No clusters' namespace, but many kinds live in none: what kustomize's `namespace` does not touch.
_CLUSTER_WIDE = re.compile(
    r"Cluster[A-Z]\w*|Namespace|CustomResourceDefinition|NodePool|NodeClaim|EC2NodeClass|NodeClass|StorageClass|"
    r"PersistentVolume|PriorityClass|GatewayClass|IngressClass|RuntimeClass|\w+WebhookConfiguration|APIService"
)


_NONE = Layer()


@dataclass(frozen=True)
class Generated:
    """A ConfigMap or Secret that kustomize makes.

    Args:
        keys: in its data; None: not known.
    """

    kind: str
    name: str
    namespace: str
    keys: frozenset[str] | None


@dataclass
class Inputs:
    """Everything that was read.

    Args:
        serve_files: documents that are Serve config files, with the file's name.
    """

    manifests: list[Manifest] = field(default_factory=list)
    serve_files: list[tuple[str, Document]] = field(default_factory=list)
    generated: list[Generated] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def read(names: Iterable[str], stdin: Callable[[], str]) -> Inputs:
    """What the files and folders say; `-` is standard input.

    Raises:
        OSError: a file that was named is not there or cannot be read.
    """
    reader = _Reader()
    for name in names:
        if name == "-":
            reader.text(stdin(), "-", is_asked=True)
        elif Path(name).is_dir():
            reader.folder(Path(name))
        else:
            reader.file(Path(name), is_asked=True)
    return reader.inputs


class _Reader:
    def __init__(self) -> None:
        self.inputs = Inputs()
        self._seen: set[Path] = set()

    def folder(self, folder: Path) -> None:
        kustomizations = sorted(path for name in FILES for path in folder.rglob(name))
        claimed = {folder_ for path in kustomizations for folder_ in folders_named(path)}
        roots = [path for path in kustomizations if path.parent.resolve() not in claimed]
        for path in roots:
            self._kustomization(path, Layer())
        covered = {path.parent.resolve() for path in kustomizations}
        for path in sorted(folder.rglob("*")):
            is_covered = not covered.isdisjoint(path.resolve().parents)
            is_left_out = is_covered or _is_hidden(path.relative_to(folder)) or _is_chart(path, folder)
            if path.suffix in _SUFFIXES and not is_left_out:
                self.file(path, is_asked=False)

    def file(self, path: Path, *, is_asked: bool, layer: Layer = _NONE) -> None:
        if path.name in FILES:
            self._kustomization(path, layer)
            return
        if path.resolve() in self._seen:
            return
        self._seen.add(path.resolve())
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            self._say(
                Severity.ERROR, "yaml/encoding", Place(str(path), 1, 1), "no UTF-8 text", "save it as UTF-8"
            )
            return
        self.text(text, str(path), is_asked=is_asked, layer=layer)

    def text(self, text: str, name: str, *, is_asked: bool, layer: Layer = _NONE) -> None:
        documents = read_documents(text)
        if is_asked and not documents:
            self._say(
                Severity.WARNING, "yaml/empty", Place(name, 1, 1), "nothing in it", "name a file with objects"
            )
        for document in documents:
            for fault in document.faults:
                self._fault(name, document, fault)
            if document.value is not None:
                self._value(name, document, document.value, (), layer, is_asked=is_asked)

    def _fault(self, name: str, document: Document, fault: Fault) -> None:
        rule = "yaml/broken" if fault.is_fatal else "yaml/duplicate-key"
        place = Place(name, document.number, fault.line, path_text(fault.path))
        self._say(Severity.ERROR, rule, place, fault.message, fault.fix)

    def _value(
        self,
        name: str,
        document: Document,
        value: object,
        root: tuple[str | int, ...],
        layer: Layer,
        *,
        is_asked: bool,
    ) -> None:
        place = Place(name, document.number, document.line_of(root), path_text(root))
        if not isinstance(value, Mapping):
            self._no_object(place, is_asked=is_asked)
        elif isinstance(value.get("items"), list) and str(value.get("kind", "")).endswith("List"):
            for index, item in enumerate(value["items"]):
                if item is not None:
                    self._value(name, document, item, (*root, "items", index), layer, is_asked=True)
        elif "apiVersion" in value and "kind" in value:
            self._object(name, document, value, root, layer)
        elif "applications" in value or "import_path" in value:
            self.inputs.serve_files.append((name, document))
        elif {"apiVersion", "kind", "spec", "metadata"} & set(value):
            self._incomplete(place, value)
        else:
            self._no_object(place, is_asked=is_asked)

    def _object(
        self,
        name: str,
        document: Document,
        value: Mapping[str, Any],
        root: tuple[str | int, ...],
        layer: Layer,
    ) -> None:
        if value["kind"] == "Kustomization" and str(value["apiVersion"]).startswith(
            "kustomize.config.k8s.io"
        ):
            return
        own = mapping(value.get("metadata")).get("namespace")
        is_cluster_wide = _CLUSTER_WIDE.fullmatch(str(value["kind"])) is not None
        where = "" if is_cluster_wide else (layer.namespace or (own if isinstance(own, str) else ""))
        self.inputs.manifests.append(
            Manifest(name, document, value, root, where, layer.labels, layer.pod_labels, layer.is_patched)
        )

    def _incomplete(self, place: Place, value: Mapping[str, Any]) -> None:
        missing = "apiVersion" if "apiVersion" not in value else "kind"
        meant = closest(missing, value)
        fix = f"did you mean {missing} by {meant}?" if meant and meant != missing else f"add {missing}"
        self._say(
            Severity.ERROR, "schema/required", place, f"{missing} is missing, so that it is no object", fix
        )

    def _no_object(self, place: Place, *, is_asked: bool) -> None:
        severity = Severity.WARNING if is_asked else Severity.NOTE
        self._say(
            severity,
            "yaml/no-object",
            place,
            "no object of Kubernetes (no apiVersion and kind): not looked at",
            "name files with objects",
        )

    def _kustomization(self, path: Path, layer: Layer) -> None:
        if path.resolve() in self._seen:
            return
        self._seen.add(path.resolve())
        for document in read_documents(path.read_text("utf-8")):
            for fault in document.faults:
                self._fault(str(path), document, fault)
            if isinstance(document.value, Mapping):
                self._layers(path, document, document.value, layer)

    def _layers(self, path: Path, document: Document, value: Mapping[str, Any], layer: Layer) -> None:
        inner = layer.within(value)
        for key in ("resources", "bases", "components", "crds"):
            for index, entry in enumerate(items(value.get(key))):
                self._resource(path, document, (key, index), str(entry), inner)
        for key, kind in (("configMapGenerator", "ConfigMap"), ("secretGenerator", "Secret")):
            for _, entry in mappings(value.get(key)):
                where = inner.namespace or str(entry.get("namespace") or "")
                self.inputs.generated.append(
                    Generated(kind, str(entry.get("name", "")), where, generated_keys(entry))
                )
        skipped = [key for key in NOT_APPLIED if value.get(key)]
        if skipped:
            place = Place(str(path), document.number, document.line_of((skipped[0],)), skipped[0])
            message = f"{' and '.join(skipped)} not applied: objects are looked at as they are before"
            self._say(
                Severity.NOTE,
                "kustomize/not-applied",
                place,
                message,
                "kustomize build FOLDER | manta cluster lint -",
            )

    def _resource(
        self, path: Path, document: Document, key: tuple[str, int], entry: str, layer: Layer
    ) -> None:
        place = Place(str(path), document.number, document.line_of(key), path_text(key))
        if "://" in entry or entry.startswith(("git@", "github.com/")) or "?ref=" in entry:
            self._say(
                Severity.NOTE,
                "kustomize/remote",
                place,
                f"{entry} is elsewhere: not looked at",
                "build it and pipe it in",
            )
            return
        target = path.parent / entry
        inner = next((target / name for name in FILES if (target / name).is_file()), None)
        if inner is not None:
            self._kustomization(inner, layer)
        elif target.is_file():
            self.file(target, is_asked=True, layer=layer)
        else:
            what = "has no kustomization.yaml" if target.is_dir() else "is not there"
            siblings = [each.name for each in path.parent.iterdir()]
            meant = closest(entry, siblings)
            fix = f"did you mean {meant}?" if meant else "add it, or take the entry out"
            self._say(
                Severity.ERROR,
                "kustomize/resource",
                place,
                f"{entry} {what}, so that kustomize cannot build",
                fix,
            )

    def _say(self, severity: Severity, rule: str, place: Place, message: str, fix: str) -> None:
        self.inputs.findings.append(Finding(severity, rule, place, message, fix))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _is_chart(path: Path, top: Path) -> bool:
    """In the templates of a Helm chart, or a chart's own file."""
    for folder in path.parents:
        if (folder / "Chart.yaml").is_file():
            return True
        if folder == top:
            break
    return False
