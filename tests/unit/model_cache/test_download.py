from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from configs.load import Hub
from serve_app.errors import ConfigError, StorageFull, Unavailable
from serve_app.model_cache.catalogue import HubSource
from serve_app.model_cache.download import download

CONTENT = bytes(range(256)) * 40
HUB = Hub("https://hub.test", "s3cret")


def source(content: bytes = CONTENT, *, num_bytes: int | None = len(CONTENT)) -> HubSource:
    return HubSource("owner/name", "model.gguf", "a" * 40, hashlib.sha256(content).hexdigest(), num_bytes)


class BrokenStream(httpx.SyncByteStream):
    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self._content
        raise httpx.ReadError("connection reset")


class FakeHub:
    """Serves CONTENT with ranges, and remembers what it was asked."""

    def __init__(self, *, knows_ranges: bool = True, breaks_after: int | None = None) -> None:
        self.requests: list[httpx.Request] = []
        self._knows_ranges = knows_ranges
        self._breaks_after = breaks_after

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        match = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        start = int(match[1]) if match and self._knows_ranges else 0
        if start >= len(CONTENT):
            return httpx.Response(416)
        body = CONTENT[start:]
        headers = {"Content-Length": str(len(body))}
        if match and self._knows_ranges:
            headers["Content-Range"] = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        status = 206 if "Content-Range" in headers else 200
        if self._breaks_after is not None:
            stream = BrokenStream(body[: self._breaks_after])
            return httpx.Response(status, headers=headers, stream=stream)
        return httpx.Response(status, headers=headers, content=body)

    def ranges(self) -> list[str | None]:
        return [request.headers.get("Range") for request in self.requests]


def fetch(
    path: Path, handler: Callable[[httpx.Request], httpx.Response], pinned: HubSource | None = None
) -> None:
    download(pinned or source(), path, HUB, transport=httpx.MockTransport(handler))


def part_of(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def test_a_whole_file_gets_its_name_and_the_part_goes(tmp_path: Path) -> None:
    path, hub = tmp_path / "model.gguf", FakeHub()
    fetch(path, hub)
    assert path.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [path]
    assert str(hub.requests[0].url) == f"https://hub.test/owner/name/resolve/{'a' * 40}/model.gguf"
    assert hub.requests[0].headers["Authorization"] == "Bearer s3cret"


def test_progress_tells_bytes_done_and_in_all(tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    transport = httpx.MockTransport(FakeHub())
    download(source(), tmp_path / "m", HUB, lambda done, total: seen.append((done, total)), transport)
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_part_is_resumed(tmp_path: Path) -> None:
    path, hub = tmp_path / "model.gguf", FakeHub()
    part_of(path).write_bytes(CONTENT[:1000])
    fetch(path, hub)
    assert hub.ranges() == ["bytes=1000-"]
    assert path.read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_is_taken_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    part_of(path).write_bytes(b"x" * 1000)
    fetch(path, FakeHub(knows_ranges=False))
    assert path.read_bytes() == CONTENT


def test_a_part_that_is_longer_than_the_file_is_begun_anew(tmp_path: Path) -> None:
    path, hub = tmp_path / "model.gguf", FakeHub()
    part_of(path).write_bytes(CONTENT + b"more")
    fetch(path, hub, source(num_bytes=None))
    assert hub.ranges() == [f"bytes={len(CONTENT) + 4}-", None]
    assert path.read_bytes() == CONTENT


def test_a_complete_part_needs_no_network(tmp_path: Path) -> None:
    path, hub = tmp_path / "model.gguf", FakeHub()
    part_of(path).write_bytes(CONTENT)
    fetch(path, hub)
    assert hub.requests == []
    assert path.read_bytes() == CONTENT


def test_a_broken_connection_is_resumed_in_the_same_call(tmp_path: Path) -> None:
    path, hub = tmp_path / "model.gguf", FakeHub(breaks_after=4000)
    fetch(path, hub)
    assert hub.ranges() == [None, "bytes=4000-", "bytes=8000-"]
    assert path.read_bytes() == CONTENT


def test_a_connection_that_breaks_again_and_again_ends_and_keeps_what_came(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    with pytest.raises(Unavailable, match=r"hub\.test broke off model\.gguf 6 times"):
        fetch(path, FakeHub(breaks_after=10))
    assert part_of(path).read_bytes() == CONTENT[:60]
    assert not path.exists()


def test_another_content_is_thrown_away(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    with pytest.raises(ConfigError, match=r"owner/name/model\.gguf has the checksum"):
        fetch(path, FakeHub(), source(b"something else"))
    assert list(tmp_path.iterdir()) == []


def test_another_size_is_refused_before_it_is_fetched(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    with pytest.raises(ConfigError, match=f"{len(CONTENT)} bytes, not the 7"):
        fetch(path, FakeHub(), source(num_bytes=7))
    assert not path.exists()


def test_an_unreachable_hub_is_named_with_the_model(tmp_path: Path) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route", request=request)

    with pytest.raises(
        Unavailable, match=r"hub\.test cannot be reached for owner/name/model\.gguf: no route"
    ):
        fetch(tmp_path / "model.gguf", refuse)


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (401, ConfigError, "HF_TOKEN"),
        (403, ConfigError, "HF_TOKEN"),
        (404, ConfigError, "at revision aaaa"),
        (429, Unavailable, "HTTP 429"),
        (503, Unavailable, "HTTP 503"),
        (418, ConfigError, "HTTP 418"),
    ],
)
def test_refusals_are_named(tmp_path: Path, status: int, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        fetch(tmp_path / "model.gguf", lambda _: httpx.Response(status))
    assert "s3cret" not in str(caught.value)


def test_a_redirect_to_another_host_does_not_carry_the_token(tmp_path: Path) -> None:
    serve = FakeHub()

    def redirect(request: httpx.Request) -> httpx.Response:
        if request.url.host == "hub.test":
            return httpx.Response(302, headers={"Location": "https://cdn.test/blob"})
        return serve(request)

    fetch(tmp_path / "model.gguf", redirect)
    assert [request.url.host for request in serve.requests] == ["cdn.test"]
    assert "Authorization" not in serve.requests[0].headers


def test_too_little_room_is_known_before_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(StorageFull, match=f"needs {len(CONTENT)} bytes more .* 100 are free"):
        fetch(tmp_path / "model.gguf", FakeHub())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device that is always full")
def test_a_disk_that_fills_up_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    part_of(path).symlink_to("/dev/full")
    with pytest.raises(StorageFull, match=r"no space left .* for model\.gguf"):
        fetch(path, FakeHub())
    assert list(tmp_path.iterdir()) == []


def test_the_token_is_no_part_of_the_hubs_repr() -> None:
    assert "s3cret" not in repr(HUB)
