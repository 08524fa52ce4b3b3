"""One object as it was written: its data, and where each part stands. Knows nothing of what the kinds mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cluster.lint.findings import Finding, Place, Severity
from cluster.lint.yaml_text import Document, Path, path_text, read_documents


class Located(Protocol):
    """Something whose parts have places: an object, or text within one."""

    @property
    def title(self) -> str:
        """`RayService ml/chat`"""

    def place(self, *path: str | int) -> Place:
        """Where that part is, or the nearest part above it."""


@dataclass(frozen=True)
class Origin:
    """Where a part was written.

    Args:
        path: within the document.
        num_before: lines of the file before the document's first, where the document is text within another.
    """

    file: str
    document: Document
    path: Path = ()
    num_before: int = 0

    def within(self, path: Path) -> Origin:
        """Where that part of this part was written."""
        return Origin(self.file, self.document, (*self.path, *path), self.num_before)

    @property
    def line(self) -> int:
        return self.document.line_of(self.path) + self.num_before

    @property
    def text_line(self) -> int | None:
        """The line of the first line of a literal block; None for anything else."""
        line = self.document.text_line(self.path)
        return None if line is None else line + self.num_before


@dataclass(frozen=True, eq=False)
class Manifest:
    """An object.

    Args:
        file: as it was named.
        document: it is in.
        data: of the object.
        root: where in the document the object is; not empty in a List.
        namespace: that it will be in; empty if only `kubectl -n` says.
        added_labels: by kustomizations, to the object.
        added_pod_labels: likewise, to its template of pods.
        is_patched: by a kustomization, in a way that is not applied here.
        is_renamed: by a kustomization, which follows the name within Kubernetes' own kinds only.
        former: the object before a patch was applied.
        traces: path -> where a patch wrote that part, or at which path it was in the former object.
    """

    file: str
    document: Document
    data: Mapping[str, Any]
    root: Path = ()
    namespace: str = ""
    added_labels: Mapping[str, str] = field(default_factory=dict)
    added_pod_labels: Mapping[str, str] = field(default_factory=dict)
    is_patched: bool = False
    is_renamed: bool = False
    former: Manifest | None = None
    traces: Mapping[Path, Origin | Path] = field(default_factory=dict)

    @property
    def api_version(self) -> str:
        return str(self.data.get("apiVersion", ""))

    @property
    def group(self) -> str:
        """The API group; empty for Kubernetes' core."""
        return self.api_version.partition("/")[0] if "/" in self.api_version else ""

    @property
    def kind(self) -> str:
        return str(self.data.get("kind", ""))

    @property
    def name(self) -> str:
        metadata = mapping(self.data.get("metadata"))
        return str(metadata.get("name") or metadata.get("generateName") or "")

    @property
    def labels(self) -> dict[str, str]:
        return {**texts(mapping(self.data.get("metadata")).get("labels")), **self.added_labels}

    @property
    def annotations(self) -> dict[str, str]:
        return texts(mapping(self.data.get("metadata")).get("annotations"))

    @property
    def title(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """(group, kind, namespace, name): what the API server tells objects apart by."""
        return self.group, self.kind, self.namespace, self.name

    def get(self, *path: str | int) -> Any:
        """The part at the path; None if it is not there."""
        return at(self.data, *path)

    def place(self, *path: str | int) -> Place:
        origin = self.origin(path)
        return Place(origin.file, origin.document.number, origin.line, path_text(path))

    def origin(self, path: Path) -> Origin:
        """Where that part was written: in the object's own file, or in a patch."""
        for length in range(len(path), -1, -1):
            trace = self.traces.get(path[:length])
            if isinstance(trace, Origin):
                return trace.within(path[length:])
            if trace is not None and self.former is not None:
                return self.former.origin((*trace, *path[length:]))
        if self.former is not None:
            return self.former.origin(path)
        return Origin(self.file, self.document, (*self.root, *path))

    def inner(self, *path: str | int) -> list[InnerText]:
        """The YAML documents within the text at the path."""
        value = self.get(*path)
        found = read_documents(value) if isinstance(value, str) else []
        return [InnerText(self, path, document) for document in found]


@dataclass(frozen=True, eq=False)
class InnerText:
    """YAML within the text of an object: a Serve config, LiteLLM's configuration."""

    owner: Manifest
    path: Path
    document: Document

    @property
    def title(self) -> str:
        return self.owner.title

    @property
    def data(self) -> Any:
        return self.document.value

    def place(self, *path: str | int) -> Place:
        return self.line_place(self.document.line_of(path), path)

    def line_place(self, line: int, path: Path = ()) -> Place:
        """The place of a line of the text, counted from 1."""
        outer = self.owner.place(*self.path)
        first = self.owner.origin(self.path).text_line
        within = path_text(path)
        shown = f"{outer.path} > {within}" if within else outer.path
        return Place(outer.file, outer.document, outer.line if first is None else first + line - 1, shown)


def at(value: object, *path: str | int) -> Any:
    """The part of nested mappings and lists at the path; None if it is not there."""
    for step in path:
        if isinstance(value, Mapping) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one: what is wrong with its type, the schema says."""
    return value if isinstance(value, Mapping) else {}


def items(value: object) -> Sequence[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def mappings(value: object) -> list[tuple[int, Mapping[str, Any]]]:
    """The objects of a list with their indices."""
    return [(index, item) for index, item in enumerate(items(value)) if isinstance(item, Mapping)]


def texts(value: object) -> dict[str, str]:
    """The entries of an object whose values are text."""
    return {key: item for key, item in mapping(value).items() if isinstance(item, str)}


def finding(severity: Severity, rule: str, where: Located, path: Path, message: str, fix: str) -> Finding:
    """A finding at a part of an object."""
    return Finding(severity, rule, where.place(*path), message, fix, where.title)


def error(rule: str, where: Located, path: Path, message: str, fix: str) -> Finding:
    return finding(Severity.ERROR, rule, where, path, message, fix)


def warning(rule: str, where: Located, path: Path, message: str, fix: str) -> Finding:
    return finding(Severity.WARNING, rule, where, path, message, fix)


def note(rule: str, where: Located, path: Path, message: str, fix: str) -> Finding:
    return finding(Severity.NOTE, rule, where, path, message, fix)
