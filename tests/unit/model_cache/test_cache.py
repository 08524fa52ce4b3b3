from __future__ import annotations

import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from configs.schema import CatalogueWeights, FileWeights, HubWeights
from serve_app.errors import ConfigError
from serve_app.model_cache.cache import describe, ensure, locate
from serve_app.model_cache.catalogue import CATALOGUE, HubSource

CONTENT = b"GGUF" + bytes(1000)


def weights(content: bytes = CONTENT, file: str = "model.gguf") -> HubWeights:
    return HubWeights(
        repo="owner/name", file=file, revision="a" * 40, sha256=hashlib.sha256(content).hexdigest()
    )


class Counting:
    """A hub that serves one content and counts the requests."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self._content = content
        self._lock = threading.Lock()
        self.num_requests = 0

    def __call__(self, _request: httpx.Request) -> httpx.Response:
        with self._lock:
            self.num_requests += 1
        return httpx.Response(200, content=self._content)

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self)


def test_what_is_not_here_is_none(tmp_path: Path) -> None:
    assert locate(weights(), tmp_path) is None
    assert locate(CatalogueWeights(catalogue="all-minilm-l6-v2"), tmp_path) is None


def test_what_was_fetched_is_found_and_described(tmp_path: Path) -> None:
    hub = Counting()
    path = ensure(weights(), tmp_path, transport=hub.transport)
    assert path.is_relative_to(tmp_path / "models")
    assert locate(weights(), tmp_path) == path
    assert ensure(weights(), tmp_path, transport=hub.transport) == path
    assert hub.num_requests == 1
    facts = json.loads(path.with_name("model.gguf.json").read_text())
    assert facts["num_bytes"] == len(CONTENT)
    assert facts["sha256"] == weights().sha256
    assert "owner/name" in facts["source"]


def test_many_at_once_fetch_once(tmp_path: Path) -> None:
    hub, start = Counting(), threading.Barrier(6)

    def fetch() -> Path:
        start.wait()
        return ensure(weights(), tmp_path, transport=hub.transport)

    with ThreadPoolExecutor(6) as pool:
        paths = {future.result() for future in [pool.submit(fetch) for _ in range(6)]}
    assert len(paths) == 1
    assert hub.num_requests == 1


def test_force_fetches_again_and_a_failure_keeps_the_old_file(tmp_path: Path) -> None:
    path = ensure(weights(), tmp_path, transport=Counting().transport)
    hub = Counting()
    assert ensure(weights(), tmp_path, force=True, transport=hub.transport) == path
    assert hub.num_requests == 1
    with pytest.raises(ConfigError, match="checksum"):
        ensure(weights(), tmp_path, force=True, transport=Counting(b"GGUF other").transport)
    assert path.read_bytes() == CONTENT


def test_a_damaged_file_is_named_with_what_repairs_it(tmp_path: Path) -> None:
    path = ensure(weights(), tmp_path, transport=Counting().transport)
    path.write_bytes(CONTENT[:100])
    with pytest.raises(ConfigError, match=r"model\.gguf: is broken: 100 bytes instead of 1004; .* --force"):
        locate(weights(), tmp_path)
    path.write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(ConfigError, match=r"is not a GGUF file; repair it with: manta models pull"):
        locate(weights(), tmp_path)
    assert ensure(weights(), tmp_path, force=True, transport=Counting().transport).read_bytes() == CONTENT


def test_a_file_that_was_put_there_by_hand_is_used(tmp_path: Path) -> None:
    path = ensure(weights(), tmp_path, transport=Counting().transport)
    path.with_name("model.gguf.json").unlink()
    assert locate(weights(), tmp_path) == path


def test_a_hub_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    page = b"<html>not a model</html>"
    with pytest.raises(ConfigError, match="is not a GGUF file"):
        ensure(weights(page), tmp_path, transport=Counting(page).transport)


@pytest.mark.parametrize("file", ["../../../etc/model.gguf", "/etc/model.gguf"])
def test_a_file_outside_the_repository_is_refused(tmp_path: Path, file: str) -> None:
    with pytest.raises(ConfigError, match="leaves the repository"):
        locate(weights(file=file), tmp_path)


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no model 'gpt-5' in the catalogue; it has: all-minilm"):
        locate(CatalogueWeights(catalogue="gpt-5"), tmp_path)


def test_a_users_own_file(tmp_path: Path) -> None:
    path = tmp_path / "own.gguf"
    with pytest.raises(ConfigError, match=r"own\.gguf: cannot be read \(No such file"):
        locate(FileWeights(path=str(path)), tmp_path)
    path.write_bytes(b"")
    with pytest.raises(ConfigError, match="is not a GGUF file"):
        locate(FileWeights(path=str(path)), tmp_path)
    with pytest.raises(ConfigError, match="Is a directory"):
        locate(FileWeights(path=str(tmp_path)), tmp_path)
    path.write_bytes(CONTENT)
    assert locate(FileWeights(path=str(path)), tmp_path) == path
    assert ensure(FileWeights(path=str(path)), tmp_path) == path


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("in the way")
    with pytest.raises(ConfigError, match="cannot be written"):
        ensure(weights(), tmp_path, transport=Counting().transport)


def test_the_list_says_what_is_here_and_what_is_broken(tmp_path: Path) -> None:
    entry = CATALOGUE["qwen2.5-0.5b-instruct"]
    assert isinstance(entry.source, HubSource)
    path = (
        tmp_path
        / "models"
        / "Qwen--Qwen2.5-0.5B-Instruct-GGUF"
        / entry.source.revision[:12]
        / entry.source.file
    )
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    by_name = {model.name: model for model in describe(tmp_path)}
    assert by_name.keys() == CATALOGUE.keys()
    assert by_name["all-minilm-l6-v2"].path is None
    assert by_name["all-minilm-l6-v2"].problem is None
    broken = by_name["qwen2.5-0.5b-instruct"]
    assert broken.path is None
    assert "manta models pull qwen2.5-0.5b-instruct --force" in (broken.problem or "")
