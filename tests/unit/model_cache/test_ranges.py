from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import obstore
import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import MemoryStore

from serve_app.errors import ConfigError, StorageFull
from serve_app.model_cache import ranges
from serve_app.model_cache.ranges import fetch
from serve_app.model_cache.remote import Checksum, RemoteFile, RemoteFolder, wrong

SHARD = bytes(range(256)) * 40  # 10 ranges and a piece, of 1,000 bytes


@pytest.fixture(autouse=True)
def _small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "RANGE_BYTES", 1000)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def remote(contents: dict[str, bytes], *, checked: bool = True) -> RemoteFolder:
    store, files = MemoryStore(), []
    for path, content in contents.items():
        obstore.put(store, f"model/{path}", content)
        e_tag = obstore.head(store, f"model/{path}")["e_tag"]
        checksums = (Checksum("sha256", sha256(content)),) if checked else ()
        files.append(RemoteFile(path, f"model/{path}", len(content), checksums, e_tag))
    return RemoteFolder("test://model", "models.tiny.weights.url", store, tuple(files))


class Asked:
    """Counts what the store is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.spans: list[tuple[str, Any]] = []
        self._get = obstore.get
        monkeypatch.setattr(ranges.obstore, "get", self)

    def __call__(self, store: Any, path: str, *, options: dict[str, Any]) -> Any:
        self.spans.append((path, options.get("range")))
        return self._get(store, path, options=options)


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def leave_part(folder: Path, file: RemoteFile, numbers: list[int], content: bytes, tail: str = "") -> None:
    """What a process that was killed leaves."""
    folder.mkdir(parents=True)
    sparse = bytearray(len(content))
    for number in numbers:
        sparse[number * 1000 : (number + 1) * 1000] = content[number * 1000 : (number + 1) * 1000]
    (folder / f"{file.path}.part").write_bytes(sparse)
    header = json.dumps([file.identity, file.num_bytes, 1000])
    lines = "".join(f"{number}\n" for number in numbers)
    (folder / f"{file.path}.part.done").write_text(f"{header}\n{lines}{tail}")


def test_all_files_come_whole_with_their_checksums(tmp_path: Path) -> None:
    contents = {"a.safetensors": SHARD, "config.json": b"{}", "1_Pooling/config.json": b"[]", "empty": b""}
    sums = fetch(remote(contents), tmp_path / "model")
    assert sums == {path: sha256(content) for path, content in contents.items()}
    assert names(tmp_path / "model") == set(contents)
    assert all((tmp_path / "model" / path).read_bytes() == content for path, content in contents.items())


def test_progress_ends_at_the_whole(tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    fetch(remote({"a": SHARD, "b": b"x"}), tmp_path / "model", lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, len(SHARD) + 1)
    assert seen[-1] == (len(SHARD) + 1, len(SHARD) + 1)
    assert seen == sorted(seen)


def test_a_half_file_is_resumed_at_the_ranges_that_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = remote({"a": SHARD})
    leave_part(tmp_path / "model", source.files[0], [0, 3, 10], SHARD)
    asked = Asked(monkeypatch)
    fetch(source, tmp_path / "model")
    begins = sorted(span[0] for _, span in asked.spans)
    assert begins == [1000, 2000, 4000, 5000, 6000, 7000, 8000, 9000]
    assert (tmp_path / "model" / "a").read_bytes() == SHARD


def test_a_line_that_was_being_written_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = remote({"a": SHARD})
    leave_part(tmp_path / "model", source.files[0], [2], SHARD, tail="1")  # of "10\n"
    asked = Asked(monkeypatch)
    fetch(source, tmp_path / "model")
    assert (1000, 2000) in [span for _, span in asked.spans]
    assert len(asked.spans) == 10


def test_nothing_is_kept_of_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = remote({"a": SHARD}), remote({"a": SHARD[::-1]})
    leave_part(tmp_path / "model", old.files[0], [0, 1, 2], SHARD)
    asked = Asked(monkeypatch)
    fetch(new, tmp_path / "model")
    assert len(asked.spans) == 11
    assert (tmp_path / "model" / "a").read_bytes() == SHARD[::-1]


def test_files_of_an_earlier_attempt_are_kept_and_strangers_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    fetch(remote({"a": SHARD, "b": b"bb"}), folder)
    (folder / "stranger.safetensors").write_bytes(b"of another choice of files")
    asked = Asked(monkeypatch)
    sums = fetch(remote({"a": SHARD, "c": b"cc"}), folder)
    assert [path for path, _ in asked.spans] == ["model/c"]
    assert sums == {"a": sha256(SHARD), "c": sha256(b"cc")}
    assert names(folder) == {"a", "c"}


def test_a_finished_file_that_rotted_is_thrown_away(tmp_path: Path) -> None:
    folder, source = tmp_path / "model", remote({"a": SHARD})
    fetch(source, folder)
    (folder / "a").write_bytes(SHARD[:-1] + b"?")
    with pytest.raises(ConfigError, match=r"models\.tiny\.weights\.url: a of test://model is not what"):
        fetch(source, folder)
    assert not (folder / "a").exists()
    fetch(source, folder)
    assert (folder / "a").read_bytes() == SHARD


def test_content_that_is_not_the_pinned_one_never_gets_its_name(tmp_path: Path) -> None:
    right = remote({"a": SHARD, "b": b"fine"})
    file = right.files[0]
    pinned = RemoteFile(
        file.path, file.object_path, file.num_bytes, (Checksum("sha256", "0" * 64),), file.e_tag
    )
    source = RemoteFolder(right.source, right.key, right.store, (pinned, right.files[1]))
    with pytest.raises(ConfigError, match=r"its sha256 checksum is \w{16}\.\.\., not 0{16}\.\.\."):
        fetch(source, tmp_path / "model")
    assert "a" not in names(tmp_path / "model")
    assert "a.part" not in names(tmp_path / "model")


def test_an_object_that_changes_on_the_way_is_named(tmp_path: Path) -> None:
    source = remote({"a": SHARD}, checked=False)
    obstore.put(source.store, "model/a", SHARD[::-1])
    with pytest.raises(ConfigError, match=r"weights\.url: a of test://model was changed while"):
        fetch(source, tmp_path / "model")
    assert "a" not in names(tmp_path / "model")


def test_an_object_that_is_gone_is_named(tmp_path: Path) -> None:
    source = remote({"a": SHARD, "b": SHARD})
    obstore.delete(source.store, "model/b")
    with pytest.raises(ConfigError, match=r"there is no b of test://model"):
        fetch(source, tmp_path / "model")


def test_a_disk_without_room_is_known_before_anything_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=len(SHARD) - 1))
    asked = Asked(monkeypatch)
    with pytest.raises(StorageFull, match=rf"needs {len(SHARD)} bytes more in .*; {len(SHARD) - 1} are free"):
        fetch(remote({"a": SHARD}), tmp_path / "model")
    assert asked.spans == []


def test_a_disk_that_fills_up_on_the_way_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, content: memoryview, at: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StorageFull, match=r"no space left in .*model for a\.part"):
        fetch(remote({"a": SHARD}), tmp_path / "model")


@pytest.mark.parametrize("path", ["../up", "/etc/passwd", "a/../../b", "weights.part", "weights.part.done"])
def test_a_file_without_a_place_in_the_folder_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="which has no place here"):
        RemoteFolder("test://model", "weights.url", MemoryStore(), (RemoteFile(path, path, 1, ()),))


def test_git_knows_a_file_by_its_length_and_content(tmp_path: Path) -> None:
    path = tmp_path / "hello"
    path.write_bytes(b"hello\n")
    blob = Checksum("git", "ce013625030ba8dba906f756967f9e9ca394464a")  # `git hash-object` of it
    assert wrong(path, (blob,)) == (sha256(b"hello\n"), None)
    path.write_bytes(b"Hello\n")
    digest, fault = wrong(path, (blob, Checksum("sha256", sha256(b"Hello\n"))))
    assert digest == sha256(b"Hello\n")
    assert fault is not None
    assert fault.startswith("its git checksum is")


@given(num_bytes=st.integers(0, 5500), kept=st.sets(st.integers(0, 5)))
def test_whatever_was_left_the_whole_comes_out(
    tmp_path_factory: pytest.TempPathFactory, num_bytes: int, kept: set[int]
) -> None:
    folder, content = tmp_path_factory.mktemp("kept") / "model", SHARD[:num_bytes]
    source = remote({"a": content})
    leave_part(folder, source.files[0], [n for n in sorted(kept) if n * 1000 < num_bytes], content)
    assert fetch(source, folder) == {"a": sha256(content)}
    assert names(folder) == {"a"}
    assert (folder / "a").read_bytes() == content
