"""Replicas that hang, block or talk garbage are found and replaced, on a real Ray."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

PROFILE = Path(__file__).with_name("plain.yaml")
TIMEOUT_S = 180
_STORIES = Path(__file__).resolve().parents[3] / "shared" / "models" / "stories260K-f32.gguf"


def model(name: str, **health: float) -> dict[str, Any]:
    limits = {"check_period_s": 0.5, "check_timeout_s": 30} | health
    return {
        "name": name,
        "engine": "mock",
        "ttft_ms": 5,
        "tpot_ms": 20,
        "faults": True,
        "scaling": {"health": limits},
    }


@dataclass(frozen=True)
class Broken:
    """An application whose models break when they are asked to."""

    url: str
    process: psutil.Process
    weights: Path  # of the model "stories"

    def replicas(self, name: str) -> dict[int, psutil.Process]:
        """process id -> process, of a model."""
        found = {}
        for process in self.process.children(recursive=True):
            try:
                if f"ServeReplica:manta:Model-{name}" in " ".join(process.cmdline()):
                    found[process.pid] = process
            except psutil.NoSuchProcess:
                continue
        return found

    def ask(self, name: str, text: str, *, stream: bool = False, max_tokens: int = 3) -> httpx.Response:
        body = {"model": name, "messages": [{"role": "user", "content": text}], "max_tokens": max_tokens}
        headers = {"x-request-timeout-s": "100"}
        return httpx.post(
            f"{self.url}/v1/chat/completions",
            json=body | {"stream": stream},
            headers=headers,
            timeout=120,
            trust_env=False,
        )

    def wait_for_another(self, name: str, before: dict[int, psutil.Process]) -> None:
        """Return when a replica that was not there before answers."""
        give_up = time.monotonic() + TIMEOUT_S
        while time.monotonic() < give_up:
            is_new = self.replicas(name).keys() - before.keys()
            if is_new and self.ask(name, "well?").status_code == 200:
                return
            time.sleep(0.5)
        raise AssertionError(f"no other replica of {name} answers")

    def logs(self) -> str:
        """What replicas wrote to their standard error."""
        (folder,) = {
            Path(word.partition("=")[2])
            for process in self.process.children(recursive=True)
            for word in process.cmdline()
            if word.startswith("--log_dir=")
        }
        return "".join(path.read_text(errors="replace") for path in folder.glob("worker-*.err"))


@pytest.fixture(scope="module")
def app(
    tmp_path_factory: pytest.TempPathFactory, manta_up: Callable[..., AbstractContextManager[Any]]
) -> Iterator[Broken]:
    if not _STORIES.exists():
        pytest.skip(f"{_STORIES} is not on this machine")
    folder = tmp_path_factory.mktemp("health")
    weights = folder / "stories.gguf"
    shutil.copy(_STORIES, weights)
    document = yaml.safe_load(PROFILE.read_text())
    args = document["applications"][0]["args"]
    args["agent"]["models"] = ["blocked"]
    args["models"] = [
        {
            "name": "stories",
            "engine": "llamacpp",
            "weights": {"path": str(weights)},
            "context_tokens": 512,
        },
        model("blocked", max_loop_block_s=3),
        model("hung", max_step_s=2),
        model("garbled", max_failures=2),
    ]
    profile = folder / "profile.yaml"
    profile.write_text(yaml.safe_dump(document))
    with manta_up(profile, folder) as up:
        yield Broken(up.url, up.process, weights)


def test_a_blocked_loop_ends_its_process_which_says_where_it_was(app: Broken) -> None:
    before = app.replicas("blocked")
    assert app.ask("blocked", f"fault:hang_loop={TIMEOUT_S}").status_code >= 500
    app.wait_for_another("blocked", before)
    assert not before.keys() & app.replicas("blocked").keys()
    told = app.logs()
    assert "the event loop of blocked has not run for" in told
    assert "mock_faults.py" in told


def test_a_hung_engine_is_found_and_who_waits_is_told_why(app: Broken) -> None:
    before = app.replicas("hung")
    answer = app.ask("hung", "fault:hang_engine")
    assert answer.status_code == 502
    assert "the engine of hung hangs" in answer.json()["error"]["message"]
    app.wait_for_another("hung", before)


def test_an_engine_that_talks_garbage_is_replaced(app: Broken) -> None:
    before = app.replicas("garbled")
    for _ in range(2):
        answer = app.ask("garbled", "fault:garbage")
        assert answer.status_code == 502
        assert "logits whose sum is nan" in answer.json()["error"]["message"]
    give_up = time.monotonic() + TIMEOUT_S
    while not app.replicas("garbled").keys() - before.keys():  # asking it would make it believed again
        assert time.monotonic() < give_up
        time.sleep(0.5)
    app.wait_for_another("garbled", before)


def test_readiness_says_why_a_replica_does_not_start_again(app: Broken) -> None:
    (replica,) = app.replicas("stories").values()
    app.weights.unlink()
    replica.kill()
    give_up = time.monotonic() + TIMEOUT_S
    while True:
        answer = httpx.get(f"{app.url}/readyz", timeout=30, trust_env=False)
        state = answer.json()["dependencies"]["stories"]
        if str(app.weights) in state.get("reason", ""):
            break
        assert time.monotonic() < give_up, state
        time.sleep(0.5)
    assert answer.status_code == 503
    assert state["reason"].startswith("no answer within 5 s; Serve says UNHEALTHY: ")
    assert answer.json()["dependencies"]["blocked"]["is_ready"]
