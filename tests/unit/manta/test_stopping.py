from __future__ import annotations

import os
import queue
import signal
from types import SimpleNamespace

import pytest

from manta.stopping import stop_when_input_ends


def test_it_stops_when_its_parents_pipe_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    told: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(fileno=pipe.fileno))
        monkeypatch.setattr("os.kill", lambda pid, number: told.put((pid, number)))
        stop_when_input_ends()
        os.write(writing, b"what is said does not matter")
        assert told.empty()
        os.close(writing)
        assert told.get(timeout=10) == (os.getpid(), signal.SIGTERM)
