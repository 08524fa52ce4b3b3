"""One cluster's objects: read, listed, applied by the server, watched, deleted. Knows no particular kind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from kuberay.asking import Asker
from kuberay.connection import Answer, Lost, Transport, connect
from kuberay.errors import Absent, Changed, Ending, FieldConflict, Refused, Unreachable
from kuberay.kinds import Kinds
from kuberay.objects import Document, Ref, at, content, ref_of
from kuberay.refusals import is_passing, is_passing_for_apply, raised_by

APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
GONE = 410
FIRST_ANSWER_S = 10.0  # an API server that is there answers within one
Outcome = Literal["created", "changed", "unchanged"]
Propagation = Literal["Background", "Foreground", "Orphan"]


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of an object that was applied; `before` is None where it was not there."""

    ref: Ref
    outcome: Outcome
    document: Document
    before: Document | None
    warnings: tuple[str, ...]


class Cluster:
    """A cluster's API. Not for several threads at once."""

    def __init__(
        self,
        transport: Transport,
        *,
        patience_s: float = 60.0,
        now_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`patience_s`: how long one request is tried again."""
        self._transport = transport
        self.now_s = now_s
        self.sleep = sleep
        self._asker = Asker(transport, patience_s, now_s, sleep)
        self._kinds = Kinds(self._asker)

    @classmethod
    def open(
        cls, kubeconfig: Path | None = None, context: str | None = None, *, patience_s: float = 60.0
    ) -> Self:
        """The cluster of a kubeconfig, after it has answered once.

        Raises:
            NoCluster: the kubeconfig or the context is not there.
            Unreachable: nothing answers, or it does not know us.
        """
        transport = connect(kubeconfig, context)
        cluster = cls(transport, patience_s=patience_s)
        try:
            cluster.version()
        except BaseException:
            transport.close()
            raise
        return cluster

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    @property
    def address(self) -> str:
        return self._transport.address

    def version(self) -> str:
        """The server's version, `v1.36.2`, from one quick try.

        Raises:
            Unreachable: nothing answers, or what answers is no API server.
            Refused: the credentials are not taken.
        """
        try:
            answer = self._transport.send("get", "/version", timeout_s=FIRST_ANSWER_S)
        except Lost as exc:
            raise Unreachable(f"no API server answers at {self.address}: {exc}") from exc
        if answer.code >= 300:
            raise raised_by(answer, f"sign in at {self.address}")
        found = at(answer.document, "gitVersion")
        if not found:
            raise Unreachable(f"what answers at {self.address} is no Kubernetes API server")
        return str(found)

    def knows(self, api_version: str, kind: str) -> bool:
        """Whether the cluster has a kind by now."""
        return self._kinds.has(api_version, kind)

    def get(self, ref: Ref) -> Document | None:
        """The object as it is; None: it is not there."""
        path = self._kinds.resource(ref.api_version, ref.kind).path(ref.namespace, ref.name)
        try:
            return self._asker.ask("get", path, f"read {ref}").document
        except Absent:
            return None

    def find(
        self, api_version: str, kind: str, *, namespace: str = "", labels: str = "", fields: str = ""
    ) -> list[Document]:
        """All objects of a kind that selectors choose, page by page; no namespace means all of them."""
        path = self._kinds.resource(api_version, kind).path(namespace)
        query = [("limit", "500")]
        query += [("labelSelector", labels)] if labels else []
        query += [("fieldSelector", fields)] if fields else []
        for tries_left in (2, 1, 0):
            try:
                return list(self._pages(path, kind, api_version, query))
            except Refused as exc:
                # A list that took so long that the server forgot where it was: from the beginning.
                if exc.http_code != GONE or not tries_left:
                    raise
        raise AssertionError("the last try returns or raises")

    def _pages(
        self, path: str, kind: str, api_version: str, query: list[tuple[str, str]]
    ) -> Iterator[Document]:
        more = ""
        while True:
            page = self._asker.ask(
                "get", path, f"list {kind}", query=[*query, *([("continue", more)] if more else [])]
            ).document
            # Items of a list do not say what they are.
            yield from ({"apiVersion": api_version, "kind": kind} | one for one in page.get("items") or ())
            more = at(page, "metadata", "continue") or ""
            if not more:
                return

    def create(self, document: Mapping[str, Any], *, manager: str, dry_run: bool = False) -> Document:
        """The object as it was made.

        Raises:
            Changed: one of that name is there already.
            Invalid: it breaks its schema.
        """
        ref = ref_of(document)
        path = self._kinds.resource(ref.api_version, ref.kind).path(ref.namespace)
        query = _write(manager, dry_run=dry_run)
        return self._asker.ask(
            "post", path, f"create {ref}", query=query, body=dict(document), may_repeat=False
        ).document

    def apply(
        self, document: Mapping[str, Any], *, manager: str, force: bool = False, dry_run: bool = False
    ) -> Applied:
        """Make the object be like this, in the fields that are given (server-side apply, strictly validated).

        Raises:
            FieldConflict: somebody else owns some of the fields, and `force` is not given.
            Invalid: a field is unknown, or breaks a rule.
            KindMissing: the cluster does not have the kind.
            Ending: one of that name is being deleted.
        """
        ref = ref_of(document)
        before = self.get(ref)
        if before is not None and at(before, "metadata", "deletionTimestamp") and not dry_run:
            held = ", ".join(at(before, "metadata", "finalizers") or ())
            raise Ending(f"{ref} is still being deleted" + (f", held by {held}" if held else ""))
        path = self._kinds.resource(ref.api_version, ref.kind).path(ref.namespace, ref.name)
        try:
            answer = self._patch(path, ref, document, manager, force=force, dry_run=dry_run)
        except FieldConflict as exc:
            # Fields that were written under our name in another way, by a patch, are ours as well.
            if {owner for _, owner in exc.conflicts} != {manager}:
                raise
            answer = self._patch(path, ref, document, manager, force=True, dry_run=dry_run)
        return Applied(ref, _outcome(before, answer.document), answer.document, before, answer.warnings)

    def _patch(
        self, path: str, ref: Ref, document: Mapping[str, Any], manager: str, *, force: bool, dry_run: bool
    ) -> Answer:
        query = [*_write(manager, dry_run=dry_run), ("force", "true" if force else "false")]
        has_version = at(document, "metadata", "resourceVersion") is not None
        return self._asker.ask(
            "patch", path, f"apply {ref}", query=query, body=dict(document), content_type=APPLY,
            passes=is_passing if has_version else is_passing_for_apply,
        )  # fmt: skip

    def patch(self, ref: Ref, operations: Sequence[Mapping[str, Any]], *, manager: str) -> Document:
        """The object after the operations of a JSON patch (RFC 6902), which may be sent twice: say `add`.

        Raises:
            Invalid: a `test` among them fails, or the result breaks the schema.
            Absent: it is not there.
        """
        path = self._kinds.resource(ref.api_version, ref.kind).path(ref.namespace, ref.name)
        return self._asker.ask(
            "patch", path, f"change {ref}", query=_write(manager, dry_run=False),
            body=[dict(one) for one in operations], content_type=JSON_PATCH,
        ).document  # fmt: skip

    def delete(self, ref: Ref, *, propagation: Propagation = "Background", uid: str = "") -> bool:
        """Ask for an object's end; False: it was not there. Finalizers may keep it for a while.

        `uid` guards against deleting another one of the same name.
        """
        path = self._kinds.resource(ref.api_version, ref.kind).path(ref.namespace, ref.name)
        body: Document = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            self._asker.ask("delete", path, f"delete {ref}", body=body)
        except Absent:
            return False
        except Changed:
            if uid:
                return False  # another one of that name is there by now
            # Older servers say so of a namespace that they are emptying already.
            if (now := self.get(ref)) is not None and not at(now, "metadata", "deletionTimestamp"):
                raise
        return True

    def watch(self, ref: Ref, resource_version: str, timeout_s: float) -> Iterator[Document]:
        """Events of one object, raw, bookmarks included, until the server ends the watch; see `kuberay.watching`.

        Raises:
            Lost: the connection broke, or the server cannot answer at this moment.
            Refused: the server refused; code 410 means that the version is too old to go on from.
        """
        path = self._kinds.resource(ref.api_version, ref.kind).path(ref.namespace)
        query = [
            ("fieldSelector", f"metadata.name={ref.name}"), ("watch", "true"), ("allowWatchBookmarks", "true"),
            ("resourceVersion", resource_version), ("timeoutSeconds", str(max(1, round(timeout_s)))),
        ]  # fmt: skip
        for event in self._transport.stream(path, query=query, timeout_s=timeout_s + FIRST_ANSWER_S):
            status = event.get("object") if event.get("type") == "ERROR" else event
            if status and status.get("kind") == "Status":
                answer = Answer(int(status.get("code") or 0), status)
                refusal = raised_by(answer, f"watch {ref}")
                # A fault of the server's own ends one watch and says nothing of the next.
                if is_passing(answer) or answer.code >= 500:
                    raise Lost(str(refusal))
                raise refusal
            yield event


def _write(manager: str, *, dry_run: bool) -> list[tuple[str, str]]:
    query = [("fieldManager", manager), ("fieldValidation", "Strict")]
    return [*query, ("dryRun", "All")] if dry_run else query


def _outcome(before: Document | None, after: Document) -> Outcome:
    if before is None:
        return "created"
    return "unchanged" if content(before) == content(after) else "changed"
