"""One API server: kinds, objects, server-side apply, deletion; with patience where trying again helps.

What is tried again: 429 as often and as late as Retry-After says, 503 and 504, a webhook that is not up yet, a
connection that broke (everything sent here may be sent twice, but `create`). What is not: any other refusal.
Knows no particular kind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from kuberay.connection import Answer, Lost, Query, Transport, connect
from kuberay.errors import Absent, FieldConflict, KindMissing, Refused, Unreachable
from kuberay.objects import Document, Ref, at, ref_of
from kuberay.refusals import is_passing, raised_by

APPLY = "application/apply-patch+yaml"
FIRST_PAUSE_S = 0.25
MAX_PAUSE_S = 8.0
FIRST_ANSWER_S = 10.0  # an API server that is there answers within one
Outcome = Literal["created", "changed", "unchanged"]
Propagation = Literal["Background", "Foreground", "Orphan"]


@dataclass(frozen=True, slots=True)
class Resource:
    """How a kind is asked for."""

    api_version: str
    kind: str
    plural: str
    is_namespaced: bool

    def path(self, namespace: str = "", name: str = "") -> str:
        root = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        if self.is_namespaced and name:
            namespace = namespace or "default"
        place = f"/namespaces/{namespace}" if self.is_namespaced and namespace else ""
        return f"{root}{place}/{self.plural}" + (f"/{name}" if name else "")


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
        self._patience_s = patience_s
        self.now_s = now_s
        self.sleep = sleep
        self._resources: dict[str, list[Resource]] = {}  # apiVersion -> its kinds

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
        """Whether the cluster has a kind, asked anew where it was not there before."""
        if any(one.kind == kind for one in self._resources.get(api_version, ())):
            return True
        self._resources[api_version] = self._discover(api_version)
        return any(one.kind == kind for one in self._resources[api_version])

    def resource(self, api_version: str, kind: str) -> Resource:
        """How to ask for a kind.

        Raises:
            KindMissing: the cluster does not have it.
        """
        if not self.knows(api_version, kind):
            raise KindMissing(f"the cluster has no kind {kind} ({api_version})", api_version, kind)
        return next(one for one in self._resources[api_version] if one.kind == kind)

    def get(self, ref: Ref) -> Document | None:
        """The object as it is; None: it is not there."""
        path = self.resource(ref.api_version, ref.kind).path(ref.namespace, ref.name)
        try:
            return self._ask("get", path, f"read {ref}").document
        except Absent:
            return None

    def find(
        self, api_version: str, kind: str, *, namespace: str = "", labels: str = "", fields: str = ""
    ) -> list[Document]:
        """All objects of a kind that selectors choose, page by page; no namespace means all of them."""
        path = self.resource(api_version, kind).path(namespace)
        query = [("limit", "500")]
        query += [("labelSelector", labels)] if labels else []
        query += [("fieldSelector", fields)] if fields else []
        found: list[Document] = []
        more = ""
        while True:
            page = self._ask(
                "get", path, f"list {kind}", query=[*query, *([("continue", more)] if more else [])]
            ).document
            # Items of a list do not say what they are.
            found += [{"apiVersion": api_version, "kind": kind} | one for one in page.get("items") or ()]
            more = at(page, "metadata", "continue") or ""
            if not more:
                return found

    def create(self, document: Mapping[str, Any], *, manager: str, dry_run: bool = False) -> Document:
        """The object as it was made.

        Raises:
            Changed: one of that name is there already.
            Invalid: it breaks its schema.
        """
        ref = ref_of(document)
        path = self.resource(ref.api_version, ref.kind).path(ref.namespace)
        query = _write(manager, dry_run=dry_run)
        return self._ask(
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
        """
        ref = ref_of(document)
        before = self.get(ref)
        path = self.resource(ref.api_version, ref.kind).path(ref.namespace, ref.name)
        try:
            answer = self._patch(path, ref, document, manager, force=force, dry_run=dry_run)
        except FieldConflict as exc:
            # Fields that were written under our name in another way, by a patch, are ours as well.
            if {owner for _, owner in exc.conflicts} != {manager}:
                raise
            answer = self._patch(path, ref, document, manager, force=True, dry_run=dry_run)
        return Applied(
            ref, _outcome(before, answer.document), answer.document, before, tuple(answer.warnings)
        )

    def _patch(
        self, path: str, ref: Ref, document: Mapping[str, Any], manager: str, *, force: bool, dry_run: bool
    ) -> Answer:
        query = [*_write(manager, dry_run=dry_run), ("force", "true" if force else "false")]
        return self._ask("patch", path, f"apply {ref}", query=query, body=dict(document), content_type=APPLY)

    def delete(self, ref: Ref, *, propagation: Propagation = "Background", uid: str = "") -> bool:
        """Ask for an object's end; False: it was not there. Finalizers may keep it for a while.

        `uid` guards against deleting another one of the same name.
        """
        path = self.resource(ref.api_version, ref.kind).path(ref.namespace, ref.name)
        body: Document = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            self._ask("delete", path, f"delete {ref}", body=body)
        except Absent:
            return False
        return True

    def watch(self, ref: Ref, resource_version: str, timeout_s: float) -> Iterator[Document]:
        """Events of one object, raw, bookmarks included, until the server ends the watch; see `kuberay.watching`.

        Raises:
            Lost: the connection broke.
            Refused: the server refused; code 410 means that the version is too old to go on from.
        """
        path = self.resource(ref.api_version, ref.kind).path(ref.namespace)
        query = [
            ("fieldSelector", f"metadata.name={ref.name}"), ("watch", "true"), ("allowWatchBookmarks", "true"),
            ("resourceVersion", resource_version), ("timeoutSeconds", str(max(1, round(timeout_s)))),
        ]  # fmt: skip
        for event in self._transport.stream(path, query=query, timeout_s=timeout_s + FIRST_ANSWER_S):
            status = event.get("object") if event.get("type") == "ERROR" else event
            if status and status.get("kind") == "Status":
                code = int(status.get("code") or 0)
                raise raised_by(Answer(code, status), f"watch {ref}")
            yield event

    def _discover(self, api_version: str) -> list[Resource]:
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        try:
            found = self._ask("get", root, f"list the kinds of {api_version}").document
        except Absent:
            return []
        return [
            Resource(api_version, one["kind"], one["name"], bool(one.get("namespaced")))
            for one in found.get("resources") or ()
            if "/" not in one["name"]  # subresources
        ]

    def _ask(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        query: Query = (),
        body: Document | None = None,
        content_type: str = "application/json",
        may_repeat: bool = True,
    ) -> Answer:
        """An answer below 300, as long as patience lasts."""
        give_up_s = self.now_s() + self._patience_s
        pauses = _pauses()
        while True:
            pause_s = next(pauses)
            try:
                answer = self._transport.send(method, path, query=query, body=body, content_type=content_type)
                if answer.code < 300:
                    return answer
                fault: Refused | Unreachable = raised_by(answer, doing)
                is_worth_it = is_passing(answer)
                pause_s = max(pause_s, _retry_after_s(answer))
            except Lost as exc:
                fault = Unreachable(f"cannot {doing}: lost the API server at {self.address}: {exc}")
                is_worth_it = may_repeat or not exc.was_sent
            if not is_worth_it or self.now_s() + pause_s > give_up_s:
                raise fault
            self.sleep(pause_s)


def _write(manager: str, *, dry_run: bool) -> list[tuple[str, str]]:
    query = [("fieldManager", manager), ("fieldValidation", "Strict")]
    return [*query, ("dryRun", "All")] if dry_run else query


def _outcome(before: Document | None, after: Document) -> Outcome:
    """The server leaves an object's version alone when nothing changes."""
    if before is None:
        return "created"
    same = at(before, "metadata", "resourceVersion") == at(after, "metadata", "resourceVersion")
    return "unchanged" if same else "changed"


def _retry_after_s(answer: Answer) -> float:
    told = answer.headers.get("retry-after") or at(answer.document, "details", "retryAfterSeconds") or 0
    try:
        return max(0.0, float(told))
    except ValueError:
        return 0.0


def _pauses() -> Iterator[float]:
    pause_s = FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, MAX_PAUSE_S)


def known_kinds(documents: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(apiVersion, kind) of documents, each once, in their order."""
    return list(dict.fromkeys((one["apiVersion"], one["kind"]) for one in documents))
