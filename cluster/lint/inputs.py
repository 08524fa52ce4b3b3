"""Files, folders, kustomizations and standard input to objects. What cannot be read is a finding, not an exception.

A folder with a kustomization gives what that makes (`builds`). Any other folder gives all YAML and JSON in it; what is
no object there, nobody asked for, and it is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.lint.builds import Build, Builder
from cluster.lint.findings import Finding, Place, Severity
from cluster.lint.kustomize import FILES, Layer, folders_named
from cluster.lint.manifest import Manifest, mapping
from cluster.lint.words import closest
from cluster.lint.yaml_text import Document, path_text, read_documents

_SUFFIXES = (".yaml", ".yml", ".json")
# What a text must have somewhere to be of interest to anybody here.
_INTERESTING = re.compile(
    r"""^[\s{\[,-]*["']?(apiVersion|kind|applications|import_path)["']?\s*:|"apiVersion"\s*:""", re.MULTILINE
)
# No clusters' namespace, but many kinds live in none: what kustomize's `namespace` does not touch.
_CLUSTER_WIDE = re.compile(
    r"Cluster[A-Z]\w*|Namespace|CustomResourceDefinition|NodePool|NodeClaim|EC2NodeClass|NodeClass|StorageClass|"
    r"PersistentVolume|PriorityClass|GatewayClass|IngressClass|RuntimeClass|\w+WebhookConfiguration|APIService"
)
_NONE = Layer()


@dataclass
class Inputs:
    """Everything that was read.

    Args:
        manifests: of plain files.
        builds: of kustomizations, one for each that is no other's part.
        serve_files: documents that are Serve config files, with the file's name.
    """

    manifests: list[Manifest] = field(default_factory=list)
    builds: list[Build] = field(default_factory=list)
    serve_files: list[tuple[str, Document]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def read(names: Iterable[str], stdin: Callable[[], str]) -> Inputs:
    """What the files and folders say; `-` is standard input.

    Raises:
        OSError: a file that was named is not there or cannot be read.
    """
    reader = _Reader()
    for name in names:
        if name == "-":
            reader.plain(reader.text(stdin(), "-", is_asked=True))
        elif Path(name).is_dir():
            reader.folder(Path(name))
        else:
            reader.named(Path(name))
    return reader.inputs


class _Reader:
    def __init__(self) -> None:
        self.inputs = Inputs()
        self._builder = Builder(lambda path, layer: self.file(path, is_asked=True, layer=layer), self._found)
        self._seen: set[Path] = set()  # plain files and kustomizations that need no second look
        self._documents: dict[str, list[Document]] = {}  # text -> what is in it; overlays share their bases

    def plain(self, manifests: Iterable[Manifest]) -> None:
        self.inputs.manifests.extend(manifests)

    def named(self, path: Path) -> None:
        """A file that somebody named."""
        if path.name in FILES:
            self._kustomization(path)
        elif path.resolve() not in self._seen:
            self._seen.add(path.resolve())
            self.plain(self.file(path, is_asked=True))

    def folder(self, folder: Path) -> None:
        kustomizations = sorted(path for name in FILES for path in folder.rglob(name))
        claimed = {folder_ for path in kustomizations for folder_ in folders_named(path)}
        for path in kustomizations:
            if path.parent.resolve() not in claimed:
                self._kustomization(path)
        covered = {path.parent.resolve() for path in kustomizations}
        for path in sorted(folder.rglob("*")):
            is_covered = not covered.isdisjoint(path.resolve().parents) or path.resolve() in self._seen
            is_left_out = is_covered or _is_hidden(path.relative_to(folder)) or _is_chart(path, folder)
            if path.suffix in _SUFFIXES and not is_left_out:
                self._seen.add(path.resolve())
                self.plain(self.file(path, is_asked=False))

    def _kustomization(self, path: Path) -> None:
        if path.resolve() not in self._seen:
            self._seen.add(path.resolve())
            self.inputs.builds.append(self._builder.build(path, _NONE))

    def file(self, path: Path, *, is_asked: bool, layer: Layer = _NONE) -> list[Manifest]:
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            place = Place(str(path), 1, 1)
            self._say(Severity.ERROR, "yaml/encoding", place, "no UTF-8 text", "save it as UTF-8")
            return []
        return self.text(text, str(path), is_asked=is_asked, layer=layer)

    def text(self, text: str, name: str, *, is_asked: bool, layer: Layer = _NONE) -> list[Manifest]:
        if not is_asked and not _INTERESTING.search(text):
            self._no_object(Place(name, 1, 1), is_asked=False)
            return []
        documents = self._documents.get(text)
        if documents is None:
            documents = self._documents[text] = read_documents(text)
        if is_asked and not documents:
            place = Place(name, 1, 1)
            self._say(Severity.WARNING, "yaml/empty", place, "nothing in it", "name a file with objects")
        found: list[Manifest] = []
        for document in documents:
            if document.is_foreign:
                self._no_object(Place(name, document.number, document.line), is_asked=is_asked)
                continue
            for fault in document.faults:
                self._builder.fault(name, document, fault)
            if document.value is not None:
                found.extend(self._value(name, document, document.value, (), layer, is_asked=is_asked))
        return found

    def _value(
        self,
        name: str,
        document: Document,
        value: object,
        root: tuple[str | int, ...],
        layer: Layer,
        *,
        is_asked: bool,
    ) -> Iterator[Manifest]:
        place = Place(name, document.number, document.line_of(root), path_text(root))
        if not isinstance(value, Mapping):
            self._no_object(place, is_asked=is_asked)
        elif isinstance(value.get("items"), list) and str(value.get("kind", "")).endswith("List"):
            for index, item in enumerate(value["items"]):
                if item is not None:
                    yield from self._value(
                        name, document, item, (*root, "items", index), layer, is_asked=True
                    )
        elif "apiVersion" in value and "kind" in value:
            yield from _object(name, document, value, root, layer)
        elif "applications" in value or "import_path" in value:
            self.inputs.serve_files.append((name, document))
        elif {"apiVersion", "kind", *(("spec", "metadata") if is_asked else ())} & set(value):
            self._incomplete(place, value)
        else:
            self._no_object(place, is_asked=is_asked)

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

    def _say(self, severity: Severity, rule: str, place: Place, message: str, fix: str) -> None:
        self._found(Finding(severity, rule, place, message, fix))

    def _found(self, found: Finding) -> None:
        self.inputs.findings.append(found)


def _object(
    name: str, document: Document, value: Mapping[str, Any], root: tuple[str | int, ...], layer: Layer
) -> Iterator[Manifest]:
    if value["kind"] == "Kustomization" and str(value["apiVersion"]).startswith("kustomize.config.k8s.io"):
        return
    own = mapping(value.get("metadata")).get("namespace")
    is_cluster_wide = _CLUSTER_WIDE.fullmatch(str(value["kind"])) is not None
    where = "" if is_cluster_wide else (layer.namespace or (own if isinstance(own, str) else ""))
    yield Manifest(
        name,
        document,
        value,
        root,
        where,
        layer.labels,
        layer.pod_labels,
        is_patched=layer.is_patched,
        is_renamed=layer.is_renamed and not layer.knows_names,
    )


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
