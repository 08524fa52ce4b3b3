"""What the stand-in for an API server does with objects, and what it refuses. Knows nothing of HTTP."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from apiserver import fields
from apiserver.kinds import Kind, faults, unknown_fields
from apiserver.store import Document, Key, Store

PAGE = 3  # small, so that lists come in pages


class Refusal(Exception):
    def __init__(self, code: int, reason: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.status = {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
            "reason": reason, "code": code, "details": details,
        }  # fmt: skip


@dataclass(frozen=True)
class Asked:
    method: str
    kind: Kind | None
    namespace: str
    name: str
    sub: str
    query: dict[str, str]
    body: Document
    content_type: str

    @property
    def key(self) -> Key:
        assert self.kind is not None
        return self.kind.group, self.kind.plural, self.namespace, self.name

    @property
    def manager(self) -> str:
        return self.query.get("fieldManager", "unknown")


class Objects:
    """What is done with objects."""

    def __init__(self, store: Store, warnings: Mapping[str, str]) -> None:
        """`warnings` are as of the server: what it warns of when a kind is written."""
        self._store = store
        self._warnings = warnings

    def do(self, asked: Asked) -> tuple[int, Document, tuple[str, ...]]:
        with self._store.changed:
            if asked.method == "GET":
                return 200, self._get(asked) if asked.name else self._list(asked), ()
            if asked.method == "DELETE":
                return 200, self._delete(asked), ()
            return self._write(asked)

    def _get(self, asked: Asked) -> Document:
        found = self._store.get(asked.key)
        if found is None:
            raise self._not_found(asked)
        return found

    def _list(self, asked: Asked) -> Document:
        assert asked.kind is not None
        found = [
            one
            for one in self._store.all(asked.kind.group, asked.kind.plural, asked.namespace)
            if is_chosen(one, asked)
        ]
        start = int(asked.query.get("continue") or 0)
        page = found[start : start + min(PAGE, int(asked.query.get("limit") or PAGE))]
        more = {"continue": str(start + len(page))} if start + len(page) < len(found) else {}
        for one in page:
            one.pop("kind"), one.pop("apiVersion")
        return {
            "kind": f"{asked.kind.kind}List", "apiVersion": asked.kind.api_version,
            "metadata": {"resourceVersion": str(self._store.version)} | more, "items": page,
        }  # fmt: skip

    def _delete(self, asked: Asked) -> Document:
        found = self._get(asked)
        uid = (asked.body.get("preconditions") or {}).get("uid")
        if uid and uid != found["metadata"]["uid"]:
            raise Refusal(409, "Conflict", f"the UID in the precondition ({uid}) does not match")
        if asked.query.get("dryRun") == "All":
            return found
        if asked.body.get("propagationPolicy") == "Foreground":
            self._store.change(
                asked.key,
                lambda one: one["metadata"].setdefault("finalizers", []).append("foregroundDeletion"),
            )
        return self._store.delete(asked.key) or found

    def _write(self, asked: Asked) -> tuple[int, Document, tuple[str, ...]]:
        kind = asked.kind
        assert kind is not None
        is_json_patch = asked.content_type == "application/json-patch+json"
        name = asked.name or asked.body.get("metadata", {}).get("name", "")
        key: Key = (kind.group, kind.plural, asked.namespace, name)
        live = self._store.get(key)
        if is_json_patch and live is not None:
            asked = replace(asked, method="PUT", body=_patched(live, asked.body))
        body = asked.body
        self._check_place(asked, kind)
        if asked.method == "POST" and live is not None:
            raise Refusal(
                409, "AlreadyExists", f'{kind.plural} "{name}" already exists', name=name, kind=kind.plural
            )
        is_apply = asked.content_type == "application/apply-patch+yaml"
        if asked.method in ("PUT", "PATCH") and live is None and not is_apply:
            raise self._not_found(asked)
        version = body.get("metadata", {}).get("resourceVersion")
        if version and (live is None or version != live["metadata"]["resourceVersion"]):
            raise Refusal(
                409, "Conflict",
                f'Operation cannot be fulfilled on {kind.plural} "{name}": the object has been modified; please apply '
                "your changes to the latest version and try again",
            )  # fmt: skip
        warnings = self._validate(asked, kind, body)
        made = self._made(asked, kind, live, is_apply=is_apply)
        if found := list(faults(made, kind.schema)):
            raise Refusal(
                422, "Invalid", f'{kind.kind}.{kind.group or "core"} "{name}" is invalid: {"; ".join(found)}',
                causes=[{"reason": "FieldValueInvalid", "message": one} for one in found],
            )  # fmt: skip
        for fixed in kind.fixed if live else ():
            if live and made.get(fixed) != live.get(fixed):
                said = f'{kind.kind} "{name}" is invalid: {fixed}: Invalid value: {{}}: field is immutable'
                raise Refusal(422, "Invalid", said)
        if asked.query.get("dryRun") == "All":
            # As the real one: whatever would change, the version is that of the object as it is.
            kept = ("uid", "resourceVersion", "generation", "creationTimestamp")
            made["metadata"] |= {key: live["metadata"][key] for key in kept} if live else {}
            return 200 if live else 201, made, warnings
        return (200 if live else 201), self._store.put(key, made), warnings

    def _made(self, asked: Asked, kind: Kind, live: Document | None, *, is_apply: bool) -> Document:
        body = asked.body
        if is_apply:
            if "managedFields" in body.get("metadata", {}):
                raise Refusal(400, "BadRequest", "metadata.managedFields must be nil")
            made, conflicts = fields.apply(
                live, body, asked.manager, force=asked.query.get("force") == "true"
            )
            if conflicts:
                raise Refusal(
                    409, "Conflict", f"Apply failed with {len(conflicts)} conflicts: ...",
                    causes=[
                        {"reason": "FieldManagerConflict", "field": one, "message": said} for one, said in conflicts
                    ],
                )  # fmt: skip
            return made
        if asked.method == "PATCH":
            made = _merged(live or {}, body)
        else:
            made = body | {"apiVersion": kind.api_version, "kind": kind.kind}
            made["metadata"] = (live or {}).get("metadata", {}) | body.get("metadata", {})
        if kind.has_status:
            # Each of the two doors writes its own part.
            other = (live or {}) if asked.sub else made
            status = made.get("status") if asked.sub else (live or {}).get("status")
            made = {key: value for key, value in other.items() if key != "status"}
            made |= {"status": status} if status is not None else {}
            if asked.sub:
                made["metadata"] = dict(made["metadata"])
        return fields.update(live, made, asked.manager, asked.sub)

    def _validate(self, asked: Asked, kind: Kind, body: Document) -> tuple[str, ...]:
        unknown = [f'unknown field "{path}"' for path in unknown_fields(body, kind.schema)]
        how = asked.query.get("fieldValidation", "Warn")
        if unknown and how == "Strict":
            raise Refusal(400, "BadRequest", f"strict decoding error: {', '.join(unknown)}")
        said = [self._warnings[kind.kind]] if kind.kind in self._warnings else []
        return tuple(said + (unknown if how == "Warn" else []))

    def _check_place(self, asked: Asked, kind: Kind) -> None:
        if not kind.is_namespaced:
            return
        namespace = self._store.get(("", "namespaces", "", asked.namespace))
        if namespace is None:
            raise Refusal(404, "NotFound", f'namespaces "{asked.namespace}" not found')
        if namespace["metadata"].get("deletionTimestamp"):
            raise Refusal(
                403, "Forbidden",
                f'{kind.plural} "{asked.name}" is forbidden: unable to create new content in namespace '
                f"{asked.namespace} because it is being terminated",
            )  # fmt: skip

    def _not_found(self, asked: Asked) -> Refusal:
        assert asked.kind is not None
        plural = f"{asked.kind.plural}.{asked.kind.group}" if asked.kind.group else asked.kind.plural
        return Refusal(
            404, "NotFound", f'{plural} "{asked.name}" not found', name=asked.name, kind=asked.kind.plural
        )


def _patched(live: Document, operations: Any) -> Document:
    """JSON patch, RFC 6902: what `test` and `add` do."""
    made = copy.deepcopy(live)
    for one in operations:
        *way, last = (step.replace("~1", "/") for step in one["path"].lstrip("/").split("/"))
        inner: Any = made
        for step in way:
            inner = inner[int(step)] if isinstance(inner, list) else inner[step]
        if one["op"] == "add":
            inner[last] = one["value"]
        elif one["op"] != "test" or inner.get(last) != one["value"]:
            raise Refusal(422, "Invalid", "the server rejected our request due to an error in our request")
    return made


def _merged(before: Any, patch: Any) -> Any:
    """JSON merge patch, RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    made = dict(before) if isinstance(before, dict) else {}
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = _merged(made.get(name), value)
    return made


def is_chosen(document: Document, asked: Asked) -> bool:
    metadata = document["metadata"]
    if asked.namespace and metadata.get("namespace") != asked.namespace:
        return False
    for term in filter(None, (asked.query.get("fieldSelector") or "").split(",")):
        name, _, wanted = term.partition("=")
        if str(fields.read(document, tuple(name.split("."))) or "") != wanted:
            return False
    return all(
        term(metadata.get("labels") or {}) for term in _label_terms(asked.query.get("labelSelector") or "")
    )


def _label_terms(selector: str) -> Iterator[Callable[[dict[str, str]], bool]]:
    for name, among, wanted in re.findall(r"([\w./-]+)(?: in \(([^)]*)\)|=([\w./-]*))", selector):
        values = [one.strip() for one in among.split(",")] if among else [wanted]
        yield lambda labels, name=name, values=values: labels.get(name) in values
