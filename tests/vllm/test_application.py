"""The whole application on configs/local-vllm.yaml: a real Ray, a real vLLM, the official client."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest
import yaml

from benchmarks.vllm_models.lora_adapter import write_adapter
from serve_app.engines.vllm.series import samples

ROOT = Path(__file__).resolve().parents[2]
START_S = 1500.0
PATIENCE_S = 600.0


@dataclass(frozen=True)
class Application:
    """A running one."""

    url: str
    process: psutil.Process
    log: Path

    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", timeout=300.0, max_retries=0)

    def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        headers = {"x-request-timeout-s": "280"}
        return httpx.post(self.url + path, json=body, headers=headers, timeout=300.0, trust_env=False)

    def metrics(self) -> str:
        return httpx.get(f"{self.url}/metrics", timeout=60.0, trust_env=False).text

    def engine_cores(self) -> list[psutil.Process]:
        return [
            one
            for one in self.process.children(recursive=True)
            if "EngineCore" in " ".join([name(one), *words(one)])
        ]

    def num_running(self) -> float:
        """Requests that vLLM computes for, by its own count, asked at its own socket."""
        said = [words(one) for one in self.process.children(recursive=True)]
        (path,) = {one[one.index("--uds") + 1] for one in said if "--uds" in one}
        with httpx.Client(transport=httpx.HTTPTransport(uds=path), timeout=60.0) as client:
            text = client.get("http://vllm/metrics").text
        return sum(one.value for one in samples(text) if one.name == "vllm:num_requests_running")

    def until(self, holds: Callable[[], bool], what: str) -> None:
        give_up = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < give_up, f"not in time: {what}\n{self.log.read_text()[-3000:]}"
            time.sleep(0.5)


def words(process: psutil.Process) -> list[str]:
    """Of its command line; none of a process that has just ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


@pytest.fixture(scope="module")
def application(
    tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int], on_device: dict[str, Any]
) -> Iterator[Application]:
    """The repository's own profile, with limits that a busy machine can keep."""
    folder = tmp_path_factory.mktemp("vllm-application")
    document = yaml.safe_load((ROOT / "configs" / "local-vllm.yaml").read_text())
    chat = document["applications"][0]["args"]["models"][0]
    del chat["num_threads"]
    chat |= on_device | {"start_timeout_s": START_S}
    chat["lora"]["folder"] = str(folder)
    chat["scaling"]["health"] = {"check_period_s": 1, "check_timeout_s": 60}
    profile, log = folder / "profile.yaml", folder / "up.log"
    profile.write_text(yaml.safe_dump(document))
    port = free_port()
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "manta", "up", str(profile), "--port", str(port)],
            env=os.environ | {"MANTA_HOME": str(folder / "home")},
            stdout=sink,
            stderr=sink,
        )
    running = Application(f"http://127.0.0.1:{port}", psutil.Process(process.pid), log)
    try:
        _wait_until_ready(running, process)
        yield running
    finally:
        family = running.process.children(recursive=True)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=300)
        assert psutil.wait_procs(family, timeout=120)[1] == []


def _wait_until_ready(running: Application, process: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + START_S
    while time.monotonic() < give_up:
        assert process.poll() is None, running.log.read_text()
        try:
            if httpx.get(f"{running.url}/readyz", timeout=30, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(1.0)
    raise AssertionError(f"not ready in time: {running.log.read_text()}")


MESSAGES: Any = [{"role": "user", "content": "What does the import statement do?"}]


def test_the_official_client_streams_tools(
    application: Application, stream_call: Callable[[str], tuple[str, Any]]
) -> None:
    name, arguments = stream_call(application.url)
    assert name == "weather"
    assert arguments["days"] in (1, 2, 3)


def test_every_endpoint_is_reached_and_refusals_are_vllms(application: Application) -> None:
    asked = {
        "/v1/completions": {"prompt": "import", "max_tokens": 3},
        "/v1/responses": {"input": "hello", "max_output_tokens": 3},
        "/v1/messages": {"messages": MESSAGES, "max_tokens": 3},
        "/tokenize": {"prompt": "hello"},
        "/detokenize": {"tokens": [1, 2]},
    }
    for path, body in asked.items():
        answer = application.post(path, {"model": "chat", **body})
        assert answer.status_code == 200, (path, answer.text)
    refused = application.post("/v1/chat/completions", {"model": "chat", "messages": [], "max_tokens": -1})
    assert refused.status_code == 400
    assert refused.json()["error"]["type"] == "BadRequestError"


def test_the_agent_answers(application: Application) -> None:
    document = {
        "source": "notes",
        "documents": [{"path": "a.md", "text": "# Mantas\n\nMantas glide over reefs."}],
    }
    assert application.post("/v1/knowledge/documents", document).status_code == 200
    answer = application.post("/v1/agent/answers", {"question": "What do mantas do over reefs?"})
    assert answer.status_code == 200, answer.text
    assert {"text", "flags", "citations"} <= answer.json().keys()


def test_a_client_that_leaves_aborts_vllms_request(application: Application) -> None:
    body = {"model": "chat", "messages": MESSAGES, "max_tokens": 6000, "ignore_eos": True, "stream": True}
    with httpx.stream(
        "POST", f"{application.url}/v1/chat/completions", json=body, timeout=300, trust_env=False
    ) as response:
        pieces = response.iter_bytes()  # held, because httpx leaves once nobody does
        next(pieces)
        application.until(lambda: application.num_running() == 1, "one request runs")
    application.until(lambda: application.num_running() == 0, "none runs")


def test_vllms_series_have_the_models_and_the_replicas_name(application: Application) -> None:
    document = {"model": "chat", "messages": MESSAGES, "max_tokens": 3}
    assert application.post("/v1/chat/completions", document).status_code == 200
    series = "ray_vllm_time_to_first_token_seconds_bucket{"

    def lines() -> list[str]:
        return [line for line in application.metrics().splitlines() if line.startswith(series)]

    application.until(lambda: bool(lines()), f"{series} is exported")
    for label in ('model="chat"', 'replica="', 'le="+Inf"'):
        assert any(label in line for line in lines()), label


def test_an_adapter_is_served_while_the_application_runs(application: Application) -> None:
    folder = application.log.parent
    write_adapter(folder / "poet")
    write_adapter(folder / "odd", num_inputs=48)
    odd = application.post("/v1/load_lora_adapter", {"lora_name": "odd", "lora_path": str(folder / "odd")})
    assert odd.status_code == 400
    assert "the adapter odd does not fit" in odd.json()["error"]["message"]

    load = {"lora_name": "poet", "lora_path": str(folder / "poet")}
    assert application.post("/v1/load_lora_adapter", load).status_code == 200
    with application.client() as client:
        assert "poet" in [model.id for model in client.models.list()]
        texts = [
            client.chat.completions.create(model=model, messages=MESSAGES, temperature=0, max_tokens=12)
            .choices[0]
            .message.content
            for model in ("chat", "poet")
        ]
        assert texts[0] != texts[1]
    assert application.post("/v1/unload_lora_adapter", {"lora_name": "poet"}).status_code == 200
    gone = application.post("/v1/chat/completions", {"model": "poet", "messages": MESSAGES})
    assert gone.status_code == 404


def test_streams_outlive_the_replica_that_an_update_replaces(application: Application) -> None:
    """Two callers ask without a pause: the old replica is in the middle of an answer when it is told to go."""
    asked = {"model": "chat", "messages": MESSAGES, "max_tokens": 400, "ignore_eos": True, "stream": True}
    before = {one.pid for one in application.engine_cores()}
    is_replaced = threading.Event()

    def ask_on() -> list[httpx.Response]:
        answers = []
        while not is_replaced.is_set():
            answers.append(application.post("/v1/chat/completions", asked))
        return [*answers, application.post("/v1/chat/completions", asked)]  # of the new replica, all of it

    def is_another_alone() -> bool:
        now = {one.pid for one in application.engine_cores()}
        return bool(now) and not now & before

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask_on) for _ in range(2)]
        try:
            application.process.send_signal(signal.SIGHUP)
            application.until(is_another_alone, "another engine, and the old one is gone")
        finally:
            is_replaced.set()
    for answers in (one.result() for one in asking):
        assert len(answers) > 2
        for answer in answers:
            assert answer.status_code == 200, answer.text[-500:]
            assert answer.text.endswith("data: [DONE]\n\n"), answer.text[-500:]
            assert '"finish_reason":"length"' in answer.text, answer.text[-500:]


def test_a_dead_engine_is_replaced(application: Application) -> None:
    before = {one.pid for one in application.engine_cores()}
    assert len(before) == 1
    os.kill(next(iter(before)), signal.SIGKILL)

    def is_back() -> bool:
        now = {one.pid for one in application.engine_cores()}
        body = {"model": "chat", "messages": MESSAGES, "max_tokens": 3}
        return (
            bool(now)
            and not now & before
            and application.post("/v1/chat/completions", body).status_code == 200
        )

    application.until(is_back, "another engine answers")
    assert len(application.engine_cores()) == 1
