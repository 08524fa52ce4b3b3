from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from configs.schema import AuditConfig
from serve_app.audit import log as log_module
from serve_app.audit.admin import write_act
from serve_app.audit.entry import AuditEntry
from serve_app.audit.files import RotatingFile
from serve_app.audit.log import AuditLog


def entry(who: str | None = "k", **more: object) -> AuditEntry:
    return AuditEntry("2026-11-21T12:00:00.000+00:00", "request", "allowed", who, **more)  # type: ignore[arg-type]


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_a_line_has_what_is_known(tmp_path: Path) -> None:
    log = AuditLog(RotatingFile(tmp_path, "a", 10_000, 3), 10)
    log.add(entry(tenant="t\n", status=200))
    log.add(entry(flags=("broken",)))
    await log.write()
    first, second = lines(tmp_path / "a.jsonl")
    assert first == {
        "time": "2026-11-21T12:00:00.000+00:00",
        "action": "request",
        "verdict": "allowed",
        "who": "k",
        "tenant": "t\n",
        "status": 200,
    }
    assert second["flags"] == ["broken"]
    assert (tmp_path / "a.jsonl").stat().st_mode & 0o777 == 0o600


def test_there_is_no_place_for_content() -> None:
    names = {field.name for field in fields(AuditEntry)}
    assert not names & {"body", "content", "messages", "prompt", "text", "answer", "headers", "query"}


async def test_files_are_bounded_in_size_and_number(tmp_path: Path) -> None:
    log = AuditLog(RotatingFile(tmp_path, "a", 4096, 3), 10)
    for number in range(200):
        log.add(entry(request_id=str(number)))
        if number % 10 == 9:
            await log.write()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["a.1.jsonl", "a.2.jsonl", "a.jsonl"]
    assert all(file.stat().st_size <= 4096 for file in files)
    kept = [line["request_id"] for name in ("a.2", "a.1", "a") for line in lines(tmp_path / f"{name}.jsonl")]
    assert kept == [str(number) for number in range(200 - len(kept), 200)]


async def test_a_flood_of_unknown_keys_leaves_room_for_what_matters(tmp_path: Path) -> None:
    now_s = 0.0
    log = AuditLog(RotatingFile(tmp_path, "a", 10**9, 3), 20, clock=lambda: now_s)
    for _ in range(10_000):
        log.add(entry(who=None))
    log.add(entry("somebody"))
    now_s += 1
    log.add(entry(who=None))
    await log.write()
    written = lines(tmp_path / "a.jsonl")
    assert len(written) == 22
    assert written[20] | {"time": ""} == {
        "time": "",
        "action": "request",
        "verdict": "allowed",
        "who": "somebody",
        "num_left_out": 9980,
    }


async def test_what_cannot_be_written_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(log_module, "MAX_WAITING", 5)
    (tmp_path / "file").touch()
    log = AuditLog(RotatingFile(tmp_path / "file", "a", 4096, 3), 10)
    for _ in range(7):
        log.add(entry())
    assert log.num_lost == 2
    await log.write()
    assert log.num_lost == 7
    assert "5 lines of the audit log are lost" in caplog.text


def test_administrators_have_a_file_of_their_own(tmp_path: Path) -> None:
    write_act(AuditConfig(), tmp_path, "key.create", "abc", "team-a")
    (line,) = lines(tmp_path / "admin.jsonl")
    assert (line["action"], line["subject"], line["tenant"], line["kind"]) == (
        "key.create",
        "abc",
        "team-a",
        "operator",
    )
    assert line["who"]
