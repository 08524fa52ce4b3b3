from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from manta.client import MantaClient
from manta.sync import LIMITS, MAX_DOCUMENT_BYTES, collect, sync
from serve_app.errors import BadRequest
from serve_app.retrieval.sources.syncing import MAX_BATCH_DOCUMENTS, Limits, WouldRemove


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
        unchanged = len(asked) - len(upload)
        return {"upload": upload, "num_unchanged": unchanged, "gone": gone, "num_known": len(known)}

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


def run(server: FakeServer, path: Path, limits: Limits = LIMITS) -> Any:
    (source,) = collect([path])
    with server.client() as client:
        return sync(client, source, limits)


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
    with pytest.raises(WouldRemove, match="remove all 1 that the base has of it; say --allow-empty"):
        run(server, path)
    assert server.hashes["handbook"]
    assert run(server, path, Limits(MAX_DOCUMENT_BYTES, allow_empty=True)).num_removed == 1


def test_much_that_is_gone_stops_the_sync(tmp_path: Path) -> None:
    server = FakeServer()
    path = folder(tmp_path, **{f"n{index}": "text" for index in range(5)})
    run(server, path)
    for index in range(3):
        (path / f"n{index}.md").unlink()
    folder(tmp_path, n4="changed")
    with pytest.raises(WouldRemove, match=r"3 of 5 documents .* at most 50% .* --max-removed-share 0\.60"):
        run(server, path)
    assert len(server.hashes["handbook"]) == 5
    assert len(server.batches) == 1  # nothing was sent either
    report = run(server, path, Limits(MAX_DOCUMENT_BYTES, max_removed_share=0.6))
    assert (report.num_removed, report.num_changed) == (3, 1)


def test_a_file_that_cannot_be_read_is_reported_and_not_removed(tmp_path: Path) -> None:
    server, path = FakeServer(), folder(tmp_path, a="one", b="two")
    run(server, path)
    (path / "b.md").unlink()
    (path / "b.md").symlink_to(path / "b.md.target")
    (path / "b.md.target").symlink_to("/proc/self/mem")  # is a file, and cannot be read
    report = run(server, path)
    assert [name for name, _ in report.failed] == ["b.md"]
    assert report.num_removed == 0
    assert "b.md" in server.hashes["handbook"]


def test_a_file_above_the_limit_is_named_without_being_read(tmp_path: Path) -> None:
    server, path = FakeServer(), folder(tmp_path, a="one")
    with (path / "huge.txt").open("wb") as stream:
        stream.truncate(2 * 1024**3)  # takes no room on the disk
    report = run(server, path)
    assert report.num_added == 1
    assert report.failed == (("huge.txt", "it has 2,147,483,648 bytes; the limit is 33,554,432"),)


def test_files_tell_where_they_are_only_on_this_machine(tmp_path: Path) -> None:
    import asyncio

    async def uris(url: str) -> list[str | None]:
        (source,) = collect([folder(tmp_path, a="one")], url=url)
        return [one.metadata.get("uri") async for one in source.objects()]

    assert asyncio.run(uris("http://127.0.0.1:8000")) == [(tmp_path / "handbook" / "a.md").as_uri()]
    assert asyncio.run(uris("https://manta.example.org")) == [None]


def test_batches_are_bounded(tmp_path: Path) -> None:
    server = FakeServer()
    path = folder(tmp_path, **{f"n{index}": str(index) for index in range(MAX_BATCH_DOCUMENTS + 1)})
    run(server, path)
    assert [len(batch) for batch in server.batches] == [MAX_BATCH_DOCUMENTS, 1]


def test_hidden_and_unreadable_kinds_are_left_out(tmp_path: Path) -> None:
    server, path = FakeServer(), folder(tmp_path, a="one")
    (path / ".git").mkdir()
    (path / ".git" / "x.md").write_text("no")
    (path / "image.bin").write_bytes(b"\0")
    assert (run(server, path).num_skipped, server.batches) == (1, [["a.md"]])


def test_a_pattern_is_a_folder_restricted(tmp_path: Path) -> None:
    path = folder(tmp_path, a="one", b="two")
    (path / "deep").mkdir()
    (path / "deep" / "c.md").write_text("three")
    server = FakeServer()
    (source,) = collect([f"{path}/**/[ac].md"])
    with server.client() as client:
        assert sync(client, source).num_added == 2
    assert server.batches == [["a.md", "deep/c.md"]]


def test_single_files_never_say_what_is_gone(tmp_path: Path) -> None:
    path = folder(tmp_path, a="one")
    (collection,) = collect([path / "a.md"], "mine")
    assert (collection.name, collection.is_whole) == ("mine", False)


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="nowhere: no such file or folder"):
        collect([tmp_path / "nowhere"])
