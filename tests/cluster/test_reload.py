"""SIGHUP: the profile is read again, and every replica replaced while requests come in."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

PROFILE = Path(__file__).with_name("plain.yaml")
TIMEOUT_S = 220


@dataclass(frozen=True)
class Reloadable:
    """An application whose profile may be changed."""

    url: str
    profile: Path
    log: Path
    process: psutil.Process

    def reload(self) -> str:
        """Send the signal; the line that says how it went."""
        num_before = self._told().count("reloaded")
        self.process.send_signal(signal.SIGHUP)
        give_up = time.monotonic() + TIMEOUT_S
        while self._told().count("reloaded") == num_before:
            assert time.monotonic() < give_up, self._told()
            assert self.process.is_running(), self._told()
            time.sleep(0.2)
        return [line for line in self._told().splitlines() if "reloaded" in line][-1]

    def replicas(self) -> dict[int, str]:
        """process id -> title."""
        titles = {
            process.pid: " ".join(process.cmdline()) for process in self.process.children(recursive=True)
        }
        # Ray adds the method that runs, and a replica's health is always being checked.
        names = {pid: title.strip().removesuffix(".check_health") for pid, title in titles.items()}
        return {pid: name for pid, name in names.items() if "ServeReplica:" in name}

    def _told(self) -> str:
        return self.log.read_text()


@pytest.fixture(scope="module")
def app(
    tmp_path_factory: pytest.TempPathFactory, manta_up: Callable[..., AbstractContextManager[Any]]
) -> Iterator[Reloadable]:
    folder = tmp_path_factory.mktemp("reload")
    profile = folder / "profile.yaml"
    profile.write_text(PROFILE.read_text())
    with manta_up(profile, folder) as up:
        yield Reloadable(up.url, profile, up.log, up.process)


@contextmanager
def traffic(url: str) -> Iterator[list[str]]:
    """Streams, embeddings and answers, one after the other in two threads; what went wrong with them."""
    faults: list[str] = []
    is_over = threading.Event()

    def ask(http: httpx.Client) -> Iterator[str]:
        body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 20, "stream": True}
        chat = http.post("/v1/chat/completions", json=body | {"model": "mock"})
        if chat.status_code != 200 or not chat.text.endswith("data: [DONE]\n\n"):
            yield f"chat: {chat.status_code} {chat.text[-200:]}"
        embedding = http.post("/v1/embeddings", json={"model": "embedder", "input": "x"})
        if embedding.status_code != 200:
            yield f"embeddings: {embedding.status_code} {embedding.text}"
        answer = http.post("/v1/agent/answers", json={"question": "How many days of leave?"})
        if answer.status_code != 200 or "kb_unavailable" in answer.json()["flags"]:
            yield f"agent: {answer.status_code} {answer.text}"

    def keep_asking() -> None:
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
            while not is_over.is_set():
                try:
                    faults.extend(ask(http))
                except httpx.TransportError as exc:
                    faults.append(repr(exc))

    threads = [threading.Thread(target=keep_asking) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield faults
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def test_every_replica_is_replaced_and_no_request_fails(app: Reloadable) -> None:
    before = app.replicas()
    with traffic(app.url) as faults:
        assert app.reload().startswith(f"reloaded {app.profile}")
    after = app.replicas()
    assert not faults
    assert not before.keys() & after.keys()
    assert sorted(before.values()) == sorted(after.values())


def test_what_changed_in_the_profile_is_served(app: Reloadable) -> None:
    app.profile.write_text(PROFILE.read_text().replace("name: sleepy", "name: renamed"))
    assert app.reload().startswith(f"reloaded {app.profile}")
    assert "renamed" in served(app.url)
    assert "sleepy" not in served(app.url)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("models:", "modles:", "modles: Extra inputs are not permitted"),
        ("port: 8000", "port: eighty", "http_options.port"),
        ("- name: manta\n", "- name: another\n", "app_name changed, which needs a restart"),
        (
            "{name: mock, engine: mock,",
            "{name: mock, engine: mock, scaling: {num_cpus: 1000},",
            "CPUs and Ray was started with",
        ),
        pytest.param(
            "{name: embedder, engine: mock, dim: 256}",
            "{name: embedder, engine: llamacpp, weights: {path: BROKEN}}",
            "broken.gguf",
            marks=pytest.mark.slow,  # Serve tries three times
        ),
    ],
)
def test_a_profile_that_cannot_run_is_told_and_what_runs_stays(
    app: Reloadable, old: str, new: str, words: str
) -> None:
    broken = app.profile.with_name("broken.gguf")
    broken.write_bytes(b"GGUF" + b"\xff" * 4000)
    models = served(app.url)
    assert old in PROFILE.read_text()
    app.profile.write_text(PROFILE.read_text().replace(old, new.replace("BROKEN", str(broken))))
    with traffic(app.url) as faults:
        told = app.reload()
    assert told.startswith("not reloaded: ")
    assert words in told
    assert told.endswith("what ran before goes on")
    assert not faults
    assert served(app.url) == models


def served(url: str) -> list[str]:
    models = httpx.get(f"{url}/v1/models", trust_env=False).json()["data"]
    return [model["id"] for model in models]
