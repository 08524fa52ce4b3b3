"""YAML as the API server would read it, with the line of every part.

Differs from PyYAML's own reading where kubectl's does: no sexagesimal numbers, no dates, `0644` is octal, a key that is
given twice is a fault. A broken document does not hide its neighbours. Knows nothing of Kubernetes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import yaml

Path = tuple[str | int, ...]

MAX_PARTS = 500_000  # of one document with its aliases written out; a hundred times the largest CRD's

_SEPARATOR = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_TEMPLATE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_INT = re.compile(r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LONGEST_INT = 400  # characters; longer ones become floats, as they do in JSON's readers
_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf"), float("inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_TAGS = {
    f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq", "int", "float", "bool", "null", "binary")
}


class _Loader(yaml.CSafeLoader):
    """Composes nodes only: which scalar is a number is decided here, as kubectl does."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 (PyYAML's way to configure a loader)


@dataclass(frozen=True)
class Fault:
    """Text that is no YAML, or says a thing twice.

    Args:
        is_fatal: nothing of the document can be read.
    """

    line: int
    message: str
    fix: str
    is_fatal: bool = True
    path: Path = ()


@dataclass
class Document:
    """One document: its value, and where its parts are."""

    number: int  # counts the documents of a file from 1
    line: int
    value: object = None
    faults: list[Fault] = field(default_factory=list)
    is_foreign: bool = False  # cannot be read, and is no object: CloudFormation's tags, for one
    _node: yaml.Node | None = None
    _offset: int = 0  # lines before the text that the node's marks count from

    def line_of(self, path: Path) -> int:
        """The line of that part, or of the nearest part above it."""
        node, line = self._node, self.line
        for step in path:
            found = _child(node, step)
            if found is None:
                break
            mark, node = found
            line = mark.line + 1 + self._offset
        return line

    def text_line(self, path: Path) -> int | None:
        """The file's line of the first line of a literal block (`|`); None for any other scalar."""
        node = self._node
        for step in path:
            found = _child(node, step)
            if found is None:
                return None
            node = found[1]
        if isinstance(node, yaml.ScalarNode) and node.style == "|":
            return int(node.start_mark.line) + 2 + self._offset
        return None


def read_documents(text: str) -> list[Document]:
    """The documents of a file; one that is broken has a fatal fault and no value. Empty ones are left out."""
    documents: list[Document] = []
    for chunk, offset in _chunks(text):
        documents.extend(_documents(chunk, offset, len(documents) + 1))
    return documents


def path_text(path: Path) -> str:
    """`a.b[0]["c.d/e"]`"""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(r"[A-Za-z_][\w-]*", step):
            text += f".{step}" if text else step
        else:
            text += f'["{step}"]'
    return text


def _chunks(text: str) -> Iterator[tuple[str, int]]:
    """The text of each document, with the number of lines before it."""
    if text.startswith("\ufeff"):
        text = text[1:]
    starts = [0, *(match.start() for match in _SEPARATOR.finditer(text)), len(text)]
    if len(starts) > 2 and all(
        line.startswith(("%", "#")) or not line.strip() for line in _head(text, starts[1])
    ):
        del starts[1]  # directives and comments belong to the document that follows
    for start, end in pairwise(starts):
        if text[start:end].strip():
            yield text[start:end], text.count("\n", 0, start)


def _head(text: str, end: int) -> list[str]:
    return text[:end].splitlines()


def _documents(chunk: str, offset: int, number: int) -> Iterator[Document]:
    if chunk.lstrip().startswith(("{", "[")):
        chunk = chunk.replace("\t", " ")  # JSON may be indented so, and its strings hold no raw tabs
    loader = None
    try:
        loader = _Loader(chunk)
        while loader.check_node():
            node = loader.get_node()
            if node is None or (isinstance(node, yaml.ScalarNode) and _scalar(node) is None):
                continue
            yield _read(node, offset, number, is_template=_TEMPLATE.search(chunk) is not None)
            number += 1
    except yaml.YAMLError as exc:
        document = Document(number, offset + 1)
        document.faults.append(_why(exc, chunk, offset))
        yield document
    finally:
        if loader is not None:
            loader.dispose()


def _read(node: yaml.Node, offset: int, number: int, *, is_template: bool) -> Document:
    document = Document(number, node.start_mark.line + 1 + offset, _node=node, _offset=offset)
    reader = _Reader(offset, document.faults)
    try:
        document.value = reader.value(node, ())
    except _Unreadable as exc:
        keys = {key.value for key, _ in node.value} if isinstance(node, yaml.MappingNode) else set()
        document.is_foreign = isinstance(node, yaml.MappingNode) and not keys & {"apiVersion", "kind"}
        document.faults.append(_template_fault(exc.fault.line) if is_template else exc.fault)
    return document


class _Unreadable(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


class _Reader:
    """Nodes to plain values. Aliases become shared values, counted as if each were written out."""

    def __init__(self, offset: int, faults: list[Fault]) -> None:
        self._offset = offset
        self._faults = faults
        self._known: dict[int, tuple[object, int]] = {}  # node -> its value, and how many parts it has
        self._open: set[int] = set()
        self._num_parts = 0

    def value(self, node: yaml.Node, path: Path) -> object:
        known = self._known.get(id(node))
        if known is None:
            if id(node) in self._open:
                raise self._unreadable(node, "an anchor that contains itself", "write the part out")
            self._open.add(id(node))
            before = self._num_parts
            value = self._new(node, path)
            self._open.discard(id(node))
            self._num_parts += 1
            known = self._known[id(node)] = value, self._num_parts - before
        else:
            self._num_parts += known[1]
        if self._num_parts > MAX_PARTS:
            raise self._unreadable(node, f"more than {MAX_PARTS} parts", "write fewer aliases of aliases")
        return known[0]

    def _new(self, node: yaml.Node, path: Path) -> object:
        if node.tag not in _TAGS:
            raise self._unreadable(
                node, f"the tag {node.tag}, which the API server does not know", "write a plain value"
            )
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, yaml.MappingNode)
        return self._mapping(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        own: dict[str, object] = {}
        merged: dict[str, object] = {}
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._unreadable(key, "a key that is no text", "write the key as a word")
            if _is_merge(key):
                for part in item.value if isinstance(item, yaml.SequenceNode) else [item]:
                    value = self.value(part, path)
                    if isinstance(value, dict):
                        merged = {**value, **merged}
                continue
            name = _key_text(key)
            if name in own:
                self._repeated(key, name, (*path, name))
            own[name] = self.value(item, (*path, name))
        return {**merged, **own}

    def _repeated(self, key: yaml.Node, name: str, path: Path) -> None:
        self._faults.append(
            Fault(
                key.start_mark.line + 1 + self._offset,
                f"the key {name!r} is given twice: kubectl refuses it, and other readers keep one of the two",
                "keep one of them",
                is_fatal=False,
                path=path,
            )
        )

    def _unreadable(self, node: yaml.Node, what: str, fix: str) -> _Unreadable:
        return _Unreadable(Fault(node.start_mark.line + 1 + self._offset, what, fix))


def _scalar(node: yaml.ScalarNode) -> object:
    """As kubectl resolves it: quoted is text, plain may be a number, a truth or nothing."""
    text: str = node.value
    if node.style or node.tag == "tag:yaml.org,2002:binary":
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text) and len(text) <= _LONGEST_INT:
        return _integer(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _integer(text: str) -> int | str:
    digits = text.replace("_", "")
    sign, digits = (-1, digits[1:]) if digits[:1] == "-" else (1, digits.removeprefix("+"))
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        digits = f"0o{digits[1:]}"
    return sign * int(digits, 0)


def _key_text(key: yaml.ScalarNode) -> str:
    """Keys become text in JSON: `on:` is the key "true", as kubectl makes it."""
    value = _scalar(key)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(key.value) if value is None else str(value)


def _is_merge(key: yaml.ScalarNode) -> bool:
    return not key.style and key.value == "<<"


def _child(node: yaml.Node | None, step: str | int) -> tuple[yaml.Mark, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step].start_mark, node.value[step]
    if not isinstance(node, yaml.MappingNode):
        return None
    merged = None
    for key, value in reversed(node.value):
        if not isinstance(key, yaml.ScalarNode):
            continue
        if _is_merge(key):
            for part in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                merged = merged or _child(part, step)
        elif _key_text(key) == step:
            return key.start_mark, value
    return merged


def _why(exc: yaml.YAMLError, chunk: str, offset: int) -> Fault:
    mark = getattr(exc, "problem_mark", None) or getattr(exc, "context_mark", None)
    line = (mark.line if mark is not None else _line_of_character(exc, chunk)) + 1 + offset
    if _TEMPLATE.search(chunk):
        return _template_fault(line)
    problem = getattr(exc, "problem", None) or getattr(exc, "reason", None) or str(exc)
    context = getattr(exc, "context", None)
    said = f"{context}: {problem}" if context else str(problem)
    return Fault(line, f"no YAML: {' '.join(said.split())}", "mend the text at this line or just above it")


def _template_fault(line: int) -> Fault:
    fix = "render it first: helm template CHART | manta cluster lint -"
    return Fault(line, "a template of Helm ({{ }}), not YAML", fix)


def _line_of_character(exc: yaml.YAMLError, chunk: str) -> int:
    position = getattr(exc, "position", None)
    return chunk.count("\n", 0, position) if isinstance(position, int) else 0
