from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from manta.client import MantaClient
from manta.sync import MAX_BATCH_DOCUMENTS, Collection, collect, sync
from serve_app.errors import BadRequest


class FakeServer:
    """Keeps hashes by source and path, as the real one does; its answers have the API's shapes."""

    def __init__(self) -> None:
        self.hashes: dict[str, dict[str, str]] = {}
        self.batches: list[list[str]] = []
        self.broken: set[str] = set()

    def client(self) -> MantaClient:
        return MantaClient("http://test", transport=httpx.MockTransport(self._handle))

    def _handle(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        known = self.hashes.setdefault(body.get("source", ""), {})
        return httpx.Response(200, json=getattr(self, "_" + request.url.path.rsplit("/", 1)[-1])(body, known))

    def _plan(self, body: dict[str, Any], known: dict[str, str]) -> dict[str, Any]:
        asked = body["documents"]
        upload = [path for path, digest in asked.items() if known.get(path) != digest]
        gone = [f"{body['source']}/{path}" for path in known if path not in asked]
        return {"upload": upload, "num_unchanged": len(asked) - len(upload), "gone": gone}

    def _documents(self, body: dict[str, Any], known: dict[str, str]) -> dict[str, Any]:
        import base64

        outcomes = []
        for document in body["documents"]:
            path, content = document["path"], base64.b64decode(document["content_base64"])
            status = "failed" if path in self.broken else "changed" if path in known else "added"
            if status != "failed":
                known[path] = hashlib.sha256(content).hexdigest()
            outcomes.append(
                {"path": path, "status": status, "num_chunks": 2, "num_embedded": 1, "reason": "broken"}
            )
        self.batches.append([document["path"] for document in body["documents"]])
        return {"data": outcomes}

    def _delete(self, body: dict[str, Any], known: dict[str, str]) -> dict[str, Any]:
        for identity in body["ids"]:
            source, _, path = identity.partition("/")
            del self.hashes[source][path]
        return {"num_deleted": len(body["ids"])}


def folder(root: Path, **files: str) -> Path:
    made = root / "handbook"
    made.mkdir(exist_ok=True)
    for name, text in files.items():
        (made / f"{name}.md").write_text(text)
    return made


def run(server: FakeServer, path: Path, *, allow_empty: bool = False) -> Any:
    (collection,) = collect([path])
    with server.client() as client:
        return sync(client, collection, lambda _: None, allow_empty=allow_empty)


def test_the_second_sync_sends_nothing(tmp_path: Path) -> None:
    server, path = FakeServer(), folder(tmp_path, a="one", b="two")
    assert run(server, path).num_added == 2
    server.batches.clear()
    report = run(server, path)
    assert (report.num_unchanged, report.num_added, server.batches) == (2, 0, [])


def test_only_the_changed_file_is_sent_and_the_gone_one_removed(tmp_path: Path) -> None:
    server, path = FakeServer(), folder(tmp_path, a="one", b="two", c="three")
    run(server, path)
    server.batches.clear()
    folder(tmp_path, a="other")
    (path / "b.md").unlink()
    report = run(server, path)
    assert (report.num_changed, report.num_removed, report.num_unchanged) == (1, 1, 1)
    assert server.batches == [["a.md"]]


def test_a_failed_document_is_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    server, path = FakeServer(), folder(tmp_path, a="one", b="two")
    server.broken = {"a.md"}
    report = run(server, path)
    assert (report.num_added, report.failed) == (1, (("a.md", "broken"),))


def test_an_emptied_folder_removes_nothing_unless_it_is_meant(tmp_path: Path) -> None:
    server, path = FakeServer(), folder(tmp_path, a="one")
    run(server, path)
    (path / "a.md").unlink()
    with pytest.raises(BadRequest, match="remove all 1 of this source"):
        run(server, path)
    assert server.hashes["handbook"]
    assert run(server, path, allow_empty=True).num_removed == 1


def test_an_unreadable_file_is_reported_and_nothing_is_removed(tmp_path: Path) -> None:
    server, path = FakeServer(), folder(tmp_path, a="one", b="two")
    run(server, path)
    (path / "b.md").unlink()
    whole = Collection("handbook", (("a.md", path / "a.md"), ("x.md", path / "gone.md")), is_whole=True)
    with server.client() as client:
        report = sync(client, whole, lambda _: None)
    assert report.failed == (("x.md", "No such file or directory"),)
    assert report.num_removed == 0
    assert "b.md" in server.hashes["handbook"]


def test_batches_are_bounded(tmp_path: Path) -> None:
    server = FakeServer()
    path = folder(tmp_path, **{f"n{index}": str(index) for index in range(MAX_BATCH_DOCUMENTS + 1)})
    run(server, path)
    assert [len(batch) for batch in server.batches] == [MAX_BATCH_DOCUMENTS, 1]


def test_hidden_and_unreadable_kinds_are_left_out(tmp_path: Path) -> None:
    path = folder(tmp_path, a="one")
    (path / ".git").mkdir()
    (path / ".git" / "x.md").write_text("no")
    (path / "image.bin").write_bytes(b"\0")
    (collection,) = collect([path])
    assert [name for name, _ in collection.files] == ["a.md"]
    assert collection.num_skipped == 1


def test_single_files_never_say_what_is_gone(tmp_path: Path) -> None:
    path = folder(tmp_path, a="one")
    (collection,) = collect([path / "a.md"], "mine")
    assert (collection.source, collection.is_whole) == ("mine", False)


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="nowhere: no such file or folder"):
        collect([tmp_path / "nowhere"])
