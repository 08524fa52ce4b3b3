"""Objects with versions, and a log of what happened to them, as etcd and the watch cache keep them."""

from __future__ import annotations

import copy
import datetime
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]
Key = tuple[str, str, str, str]  # group, plural, namespace, name


class Conflict(Exception):
    """The object is another version than the writer thinks."""


@dataclass(frozen=True)
class Happened:
    version: int
    type: str  # ADDED | MODIFIED | DELETED
    key: Key
    document: Document


def stamp() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Store:
    """All objects of the cluster. Every method takes the lock; documents are copied in and out."""

    collects_garbage: bool = True
    version: int = 100
    compacted: int = 0  # watches cannot begin before this version
    is_closed: bool = False
    objects: dict[Key, Document] = field(default_factory=dict)
    log: list[Happened] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=lambda: threading.Condition(threading.RLock()))

    def get(self, key: Key) -> Document | None:
        with self.changed:
            return copy.deepcopy(self.objects.get(key))

    def put(self, key: Key, document: Document) -> Document:
        """Create or replace; nothing happens if it is the same."""
        with self.changed:
            before = self.objects.get(key)
            made = copy.deepcopy(document)
            metadata = made.setdefault("metadata", {})
            if before is None:
                metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": stamp(), "generation": 1}
            else:
                kept = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "resourceVersion")
                metadata |= {name: before["metadata"][name] for name in kept if name in before["metadata"]}
                if _same(before, made):
                    return copy.deepcopy(before)
                if _wanted(before) != _wanted(made):
                    metadata["generation"] = before["metadata"]["generation"] + 1
            if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
                return self._remove(key, made)
            return self._write(key, made, "ADDED" if before is None else "MODIFIED")

    def change(self, key: Key, change: Callable[[Document], None]) -> Document | None:
        """Read, change and write under the lock; None: it is not there."""
        with self.changed:
            document = self.get(key)
            if document is None:
                return None
            change(document)
            return self.put(key, document)

    def delete(self, key: Key) -> Document | None:
        """Remove it, or mark it where finalizers hold it; None: it is not there."""
        with self.changed:
            document = self.get(key)
            if document is None:
                return None
            if document["metadata"].get("finalizers"):
                if not document["metadata"].get("deletionTimestamp"):
                    document["metadata"]["deletionTimestamp"] = stamp()
                    self._write(key, document, "MODIFIED")
                return document
            return self._remove(key, document)

    def all(self, group: str, plural: str, namespace: str = "") -> list[Document]:
        with self.changed:
            found = [
                copy.deepcopy(document)
                for key, document in self.objects.items()
                if key[:2] == (group, plural) and namespace in ("", key[2])
            ]
            return sorted(
                found, key=lambda one: (one["metadata"].get("namespace", ""), one["metadata"]["name"])
            )

    def since(self, version: int, wait_s: float) -> Iterator[Happened]:
        """What happened after a version; waits a while for something."""
        with self.changed:
            if not self.is_closed and self.version <= version:
                self.changed.wait(wait_s)
            return iter([one for one in self.log if one.version > version])

    def compact(self) -> None:
        """Forget the log: watches from old versions have to begin anew."""
        with self.changed:
            self.compacted = self.version
            self.log.clear()
            self.version += 1
            self.changed.notify_all()

    def close(self) -> None:
        with self.changed:
            self.is_closed = True
            self.changed.notify_all()

    def _write(self, key: Key, document: Document, type_: str) -> Document:
        self.version += 1
        document["metadata"]["resourceVersion"] = str(self.version)
        self.objects[key] = copy.deepcopy(document)
        self.log.append(Happened(self.version, type_, key, copy.deepcopy(document)))
        self.changed.notify_all()
        return document

    def _remove(self, key: Key, document: Document) -> Document:
        self.objects.pop(key, None)
        self.version += 1
        document["metadata"]["resourceVersion"] = str(self.version)
        self.log.append(Happened(self.version, "DELETED", key, copy.deepcopy(document)))
        self.changed.notify_all()
        if key[:2] == ("", "namespaces"):
            for other in [one for one in self.objects if one[2] == key[3]]:
                self.delete(other)
        if self.collects_garbage:
            uid = document["metadata"].get("uid")
            for other, held in list(self.objects.items()):
                owners = held["metadata"].get("ownerReferences") or []
                if any(owner.get("uid") == uid for owner in owners):
                    self.delete(other)
        return document


def _wanted(document: Document) -> Document:
    """What a generation counts the changes of."""
    return {key: value for key, value in document.items() if key not in ("metadata", "status")}


def _same(before: Document, after: Document) -> bool:
    """Without what the server itself writes: managers' times do not make a new version."""

    def plain(document: Document) -> Document:
        metadata = {key: value for key, value in document["metadata"].items() if key != "managedFields"}
        managers = [
            {key: value for key, value in one.items() if key != "time"}
            for one in document["metadata"].get("managedFields") or []
        ]
        return document | {"metadata": metadata | {"managedFields": managers}}

    return plain(before) == plain(after)
