"""Administrative acts in the audit log: made by commands, of which several may run at once. Blocks."""

from __future__ import annotations

import fcntl
import getpass
import os
from datetime import UTC, datetime
from pathlib import Path

from configs.schema import AuditConfig
from serve_app.audit.entry import AuditEntry
from serve_app.audit.files import RotatingFile
from serve_app.errors import ConfigError


def write_act(config: AuditConfig, folder: Path, action: str, subject: str, tenant: str) -> None:
    """Add a line to `admin.jsonl`: who on this machine did what to which key.

    Raises:
        ConfigError: it cannot be written.
    """
    entry = AuditEntry(
        time=datetime.now(UTC).isoformat(timespec="milliseconds"),
        action=action,
        verdict="allowed",
        who=getpass.getuser(),
        kind="operator",
        tenant=tenant,
        subject=subject,
    )
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(folder / ".admin.lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            RotatingFile(folder, "admin", config.max_file_bytes, config.num_files).write(entry.line())
        finally:
            os.close(lock)
    except OSError as exc:
        raise ConfigError(f"the audit log cannot be written in {folder}: {exc.strerror}") from exc
