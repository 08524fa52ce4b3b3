"""A Redis of the suite's own, for Ray's head to keep its state in: bound to loopback, nothing kept on disk."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

from benchmarks.errors import BenchmarkError

START_TIMEOUT_S = 10.0


class NoRedis(BenchmarkError):
    """There is no Redis here, or it does not start."""


class Redis:
    """A server that was started. Stop it when done."""

    def __init__(self, folder: Path, port: int) -> None:
        """Start it, and return once it listens.

        Raises:
            NoRedis: it is not installed, or does not start.
        """
        binary = shutil.which("redis-server")
        if binary is None:
            raise NoRedis("redis-server is not installed (Debian: apt-get install redis-server)")
        folder.mkdir(parents=True, exist_ok=True)
        self.address = f"127.0.0.1:{port}"
        flags = {"--port": str(port), "--bind": "127.0.0.1", "--save": "", "--appendonly": "no"}
        with (folder / "redis.log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 (our own command)
                [binary, *(word for pair in flags.items() for word in pair), "--dir", str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait(port)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait(self, port: int) -> None:
        give_up = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1.0):
                    return
            except OSError as exc:
                if self._process.poll() is not None or time.monotonic() > give_up:
                    self.stop()
                    raise NoRedis(f"redis-server does not listen on port {port}") from exc
            time.sleep(0.05)
