from __future__ import annotations

import errno
from pathlib import Path

import msgspec
import pytest

from benchmarks.client.journal import Journal


class Line(msgspec.Struct):
    value: int


def test_lines_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    for value in (1, 2):
        with Journal(path) as journal:
            journal.add(Line(value))
            journal.add(Line(value * 10))
    assert path.read_text() == '{"value":1}\n{"value":10}\n{"value":2}\n{"value":20}\n'


def test_a_full_disk_is_told_and_nothing_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    journal = Journal(full)
    journal.add(Line(1))
    journal.flush()
    assert journal.fault is not None
    assert journal.fault.errno == errno.ENOSPC
    written = bytearray()

    def write(fd: int, data: bytearray) -> int:
        written.extend(data[:5])
        return min(5, len(data))

    monkeypatch.setattr("os.write", write)  # there is room again
    journal.add(Line(2))
    journal.flush()
    assert journal.fault is None
    assert bytes(written) == b'{"value":1}\n{"value":2}\n'
