"""A small file system for the application's data, which can be filled, and the fault that fills it."""

from __future__ import annotations

import errno
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.scenarios.faults import FaultFailed
from benchmarks.scenarios.knowledge import client_for, first_question
from benchmarks.scenarios.subject import CannotRun
from benchmarks.target import Target

SIZE_MIB = 64
PIECE = bytes(1 << 20)


class SmallDisk:
    """A tmpfs at a folder. Unmount it when done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._is_mounted = False

    def mount(self) -> None:
        """Raises CannotRun: this user may not; the folder is then on the disk that it is on."""
        self.folder.mkdir(parents=True, exist_ok=True)
        words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m,mode=0700", "tmpfs", str(self.folder)]
        if os.geteuid() != 0:
            raise CannotRun("only root may mount the small file system (tmpfs) that is to be filled")
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 (our own)
        except OSError as exc:
            raise CannotRun(f"mount: {exc.strerror}") from exc
        if done.returncode != 0:
            raise CannotRun(f"a small file system cannot be mounted: {done.stderr.strip()}")
        self._is_mounted = True

    def unmount(self) -> None:
        if self._is_mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], capture_output=True, check=False)  # noqa: S603, S607
            self._is_mounted = False

    def fill(self) -> None:
        """Write until nothing fits any more."""
        # Pieces get smaller, so that the last byte is taken too.
        size = len(PIECE)
        with self._ballast.open("wb", buffering=0) as file:
            while size:
                try:
                    file.write(PIECE[:size])
                except OSError as exc:
                    if exc.errno != errno.ENOSPC:
                        raise
                    size //= 2

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"


@dataclass(frozen=True, slots=True)
class FillDisk:
    """The disk of the knowledge base is full: writing is refused with a reason, reading goes on, and after it both."""

    disk: SmallDisk
    target: Target

    @property
    def start_text(self) -> str:
        return "the disk of the knowledge base is filled"

    def inject(self) -> str:
        with client_for(self.target) as http:
            self.disk.fill()
            try:
                refusal = self._put(http, "while-full")
                if refusal is None:
                    raise FaultFailed("a document was taken while the disk was full")
                self._ask(http)
            finally:
                self.disk.free()
            if (still := self._put(http, "after-it")) is not None:
                raise FaultFailed(f"a document was refused although there was room again: {still}")
        return f"a document was refused ({refusal}), questions were answered, and afterwards both went on"

    def _put(self, http: httpx.Client, name: str) -> str | None:
        """Why a document was refused; None: it was taken."""
        text = " ".join(f"{name} {number}" for number in range(5000))
        body = {"source": "conformance", "documents": [{"path": f"{name}.md", "text": text}]}
        answer = self._request(http, "/v1/knowledge/documents", body)
        if answer.status_code != 200:
            return f"{answer.status_code} {_error(answer)}"
        failed = [one for one in answer.json()["data"] if one["status"] == "failed"]
        return str(failed[0]["reason"]) if failed else None

    def _ask(self, http: httpx.Client) -> None:
        answer = self._request(http, "/v1/agent/answers", {"question": first_question()})
        if answer.status_code != 200:
            raise FaultFailed(f"a question was answered {answer.status_code} while the disk was full")

    def _request(self, http: httpx.Client, path: str, body: dict[str, Any]) -> httpx.Response:
        try:
            return http.post(path, json=body)
        except httpx.HTTPError as exc:
            raise FaultFailed(f"{path}: {exc or exc.__class__.__name__}") from exc


def _error(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:100]
