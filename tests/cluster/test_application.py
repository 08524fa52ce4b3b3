"""The whole graph on a real Ray, through HTTP, as users call it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import psutil
import pytest

from cluster.render import queries
from cluster.series.catalogue import catalogue, exported
from serve_app.telemetry.metrics import OLDEST_QUEUED, REQUESTS_RUNNING

# Of what is asked for in a cluster, what a Ray on one machine without GPUs tells too.
STEADY = frozenset(
    {
        queries.HTTP_REQUESTS,
        queries.HTTP_ERRORS,
        queries.HTTP_LATENCY_MS,
        queries.HTTP_ONGOING,
        queries.DEPLOYMENT_STATUS,
        queries.HEALTHY_REPLICAS,
        queries.RUNNING,
        queries.REPLICA_START_MS,
        queries.NODE_CPU_PERCENT,
        queries.NODE_MEMORY_USED,
        queries.NODE_MEMORY_TOTAL,
        queries.NODE_DISK_USED,
        queries.NODE_DISK_FREE,
        queries.NODE_RECEIVED_PER_S,
        queries.NODE_SENT_PER_S,
        queries.OBJECT_STORE,
        exported(REQUESTS_RUNNING),
        exported(OLDEST_QUEUED),
    }
)

HANDBOOK = """# Handbook

## Leave

Every employee has 27 days of paid leave a year. Unused days move on until March.

## Office

The office in Lisbon opens at eight. Dogs are welcome on Fridays.
"""


@pytest.fixture(scope="module")
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as made:
        yield made


def manta(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "manta", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def test_it_is_alive_ready_and_says_what_it_serves(http: httpx.Client) -> None:
    assert http.get("/healthz").status_code == 200
    dependencies = http.get("/readyz").json()["dependencies"]
    assert {"mock", "extractive", "embedder", "knowledge", "manta"} <= dependencies.keys()
    names = {model["id"] for model in http.get("/v1/models").json()["data"]}
    agents = {"manta", "clerk", "chief"}
    assert names == {"mock", "narrow", "busy", "pair", "sleepy", "extractive", "embedder"} | agents


def test_nothing_of_it_listens_beyond_this_machine(application: psutil.Process, url: str) -> None:
    listening = {
        (process.name(), connection.laddr.ip, connection.laddr.port)
        for process in [application, *application.children(recursive=True)]
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert url.rpartition(":")[2] in {str(port) for _, _, port in listening}
    assert {ip for _, ip, _ in listening} <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}, listening


def test_what_scales_to_zero_is_not_woken_by_probes_and_answers_when_asked(http: httpx.Client) -> None:
    assert "sleepy" not in http.get("/readyz").json()["dependencies"]
    body = {"model": "sleepy", "messages": [{"role": "user", "content": "x"}], "max_tokens": 2}
    answer = http.post("/v1/chat/completions", json=body, headers={"x-request-timeout-s": "60"})
    assert answer.json()["usage"]["completion_tokens"] == 2


def test_the_official_client_chats(client: openai.OpenAI) -> None:
    messages = [{"role": "user", "content": "hello"}]
    whole = client.chat.completions.create(model="mock", messages=messages, max_tokens=7, seed=3)
    assert whole.choices[0].finish_reason == "length"
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 7
    chunks = list(
        client.chat.completions.create(
            model="mock",
            messages=messages,
            max_tokens=7,
            seed=3,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


def test_the_official_client_completes_and_embeds(client: openai.OpenAI) -> None:
    done = client.completions.create(model="mock", prompt="once upon", max_tokens=3)
    assert done.usage is not None
    assert done.usage.prompt_tokens == 2
    by_default = client.embeddings.create(model="embedder", input=["a b", "c"])  # base64 on the wire
    as_numbers = client.embeddings.create(model="embedder", input=["a b", "c"], encoding_format="float")
    assert by_default.data[0].embedding == pytest.approx(as_numbers.data[0].embedding)
    assert by_default.usage.prompt_tokens == 3


def test_a_folder_becomes_a_cited_answer(url: str, client: openai.OpenAI, tmp_path: Path) -> None:
    folder = tmp_path / "handbook"
    folder.mkdir()
    (folder / "handbook.md").write_text(HANDBOOK)
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 nothing more")
    first = manta("ingest", str(folder), "--url", url)
    assert first.returncode == 1
    assert "broken.pdf" in first.stderr
    again = manta("ingest", str(folder), "--url", url)
    (row,) = [line.split() for line in again.stderr.splitlines() if line.strip()[:1].isdigit()]
    added, changed, unchanged, removed, failed = map(int, row[:5])
    assert (added, changed, unchanged, removed, failed) == (0, 0, 1, 0, 1)
    asked = manta("ask", "How many days of paid leave do employees have?", "--url", url)
    assert asked.returncode == 0, asked.stderr
    assert "27 days" in asked.stdout
    assert "[1] handbook/handbook.md" in asked.stdout
    answer = client.chat.completions.create(
        model="manta",
        messages=[{"role": "user", "content": "How many days of paid leave do employees have?"}],
    )
    assert "27 days" in (answer.choices[0].message.content or "")


def test_documents_are_listed_searched_and_deleted(http: httpx.Client) -> None:
    headers = {"x-manta-tenant": "other"}
    body = {"source": "s", "documents": [{"path": "a.md", "text": HANDBOOK}]}
    assert http.post("/v1/knowledge/documents", json=body, headers=headers).json()["counts"]["added"] == 1
    (listed,) = http.get("/v1/knowledge/documents?source=s", headers=headers).json()["data"]
    found = http.post(
        "/v1/knowledge/search", json={"query": "dogs on Fridays", "k": 1}, headers=headers
    ).json()
    assert "Dogs are welcome" in found["data"][0]["text"]
    # Another tenant sees nothing of it.
    foreign = http.post(
        "/v1/knowledge/search", json={"query": "dogs"}, headers={"x-manta-tenant": "third"}
    ).json()
    assert foreign["data"] == []
    assert http.delete(f"/v1/knowledge/documents/{listed['id']}", headers=headers).status_code == 200
    assert http.get("/v1/knowledge/status", headers=headers).json()["num_chunks"] == 0


def test_posted_files_are_a_job_that_can_be_followed_to_its_end(http: httpx.Client) -> None:
    headers = {"x-manta-tenant": "posting"}
    files = [
        ("file", ("handbook.md", HANDBOOK.encode(), "text/markdown")),
        ("file", ("broken.pdf", b"%PDF-1.4 nothing more", "application/pdf")),
    ]
    posted = http.post(
        "/v1/knowledge/documents",
        data={"source": "posted", "metadata": '{"team": "sea"}'},
        files=files,
        headers=headers,
    )
    assert posted.status_code == 202, posted.text
    job_id = posted.json()["id"]
    with http.stream("GET", f"/v1/knowledge/jobs/{job_id}/events", headers=headers) as events:
        last = [line for line in events.iter_lines() if line.startswith("event: ")][-1]
    assert last == "event: job.finished"
    job = http.get(posted.headers["location"], headers=headers).json()
    assert (job["status"], job["num_done"], job["num_documents"]) == ("done", 2, 2)
    assert [one["path"] for one in job["failed"]] == ["broken.pdf"]
    body = {"query": "dogs on Fridays", "filters": {"metadata.team": "sea"}}
    found = http.post("/v1/knowledge/search", json=body, headers=headers).json()
    assert "Dogs are welcome" in found["data"][0]["text"]
    # Whose job it is not, does not learn that there is one.
    assert http.get(f"/v1/knowledge/jobs/{job_id}", headers={"x-manta-tenant": "third"}).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        ("chat/completions", {"model": "none", "messages": [{"role": "user", "content": "x"}]}, 404, "none"),
        ("chat/completions", {"model": "mock", "messages": []}, 400, "messages"),
        (
            "chat/completions",
            {"model": "mock", "messages": [{"role": "x", "content": ""}]},
            400,
            "messages.0.role",
        ),
        (
            "chat/completions",
            {"model": "embedder", "messages": [{"role": "user", "content": "x"}]},
            400,
            "embedd",
        ),
        (
            "chat/completions",
            {"model": "extractive", "messages": [{"role": "user", "content": "x"}]},
            400,
            "extractive",
        ),
        ("embeddings", {"model": "embedder", "input": ""}, 400, "input"),
        ("embeddings", {"model": "embedder", "input": "a " * 300}, 400, "256"),
        ("embeddings", {"model": "embedder", "input": "a", "dimensions": 7}, 400, "dimensions"),
        ("knowledge/search", {"query": ""}, 400, "query"),
        ("agent/answers", {"question": ""}, 400, "question"),
    ],
)
def test_a_bad_request_is_refused_by_name(
    http: httpx.Client, path: str, body: dict[str, object], status: int, word: str
) -> None:
    response = http.post(f"/v1/{path}", json=body)
    assert response.status_code == status
    error = response.json()["error"]
    assert word in error["message"]
    assert {"message", "type", "param", "code"} <= error.keys()


@pytest.mark.parametrize(
    ("content", "status", "word"),
    [
        (b"x" * 1_000_001, 413, "1000000"),
        (b'{"model": ', 400, "line 1"),
        (b"[]", 400, "object"),
        (b"\xff", 400, "UTF-8"),
    ],
)
def test_a_body_that_is_not_a_request_is_refused(
    http: httpx.Client, content: bytes, status: int, word: str
) -> None:
    response = http.post(
        "/v1/chat/completions", content=content, headers={"content-type": "application/json"}
    )
    assert response.status_code == status
    assert word in response.json()["error"]["message"]


def test_time_that_is_over_is_504_and_names_the_stage(http: httpx.Client) -> None:
    body = {"model": "narrow", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1000}
    response = http.post("/v1/chat/completions", json=body, headers={"x-request-timeout-s": "0.3"})
    assert response.status_code == 504
    assert response.json()["error"]["stage"]


def test_a_client_that_leaves_frees_the_slot(http: httpx.Client) -> None:
    endless = {
        "model": "narrow",
        "messages": [{"role": "user", "content": "x"}],
        "max_tokens": 5000,
        "stream": True,
    }
    with http.stream("POST", "/v1/chat/completions", json=endless) as response:
        assert next(response.iter_raw())
    # The engine's only slot would be held for four minutes; a deadline of ten seconds finds it free.
    short = endless | {"max_tokens": 1, "stream": False}
    assert (
        http.post("/v1/chat/completions", json=short, headers={"x-request-timeout-s": "10"}).status_code
        == 200
    )


async def test_a_full_queue_is_429_with_retry_after(url: str) -> None:
    body = {"model": "busy", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        calls = [client.post("/v1/chat/completions", json=body) for _ in range(6)]
        responses = await asyncio.gather(*calls)
    statuses = [response.status_code for response in responses]
    assert set(statuses) == {200, 429}
    refused = next(response for response in responses if response.status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["error"]["type"] == "rate_limit_error"


def test_metrics_have_the_documented_names(http: httpx.Client) -> None:
    http.post("/v1/agent/answers", json={"question": "How many days of leave?"})
    wanted = {
        "ray_agent_request_duration_seconds",
        "ray_agent_degraded_total",
        "ray_vector_search_duration_seconds",
    }
    give_up = time.monotonic() + 60  # Ray's agents report every few seconds
    while True:
        text = http.get("/metrics").text
        missing = {name for name in wanted if name not in text}
        if not missing or time.monotonic() > give_up:
            break
        time.sleep(1)
    assert not missing


def test_what_alerts_and_dashboards_rest_on_is_told_under_these_names(http: httpx.Client) -> None:
    """Rendered expressions are compared with a list of names; here the list is compared with a Ray that runs."""
    http.post("/v1/chat/completions", json={"model": "mock", "messages": [{"role": "user", "content": "x"}]})
    http.get("/v1/nothing")
    wanted = {name if name in catalogue() else f"{name}_bucket" for name in STEADY}
    give_up = time.monotonic() + 120
    while True:
        told = {line.partition("{")[0] for line in http.get("/metrics").text.splitlines()}
        if wanted <= told or time.monotonic() > give_up:
            break
        time.sleep(1)
    assert not wanted - told


def test_a_port_in_use_is_one_line(url: str) -> None:
    port = url.rsplit(":", 1)[1]
    done = manta("up", str(Path(__file__).with_name("profile.yaml")), "--port", port)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith(f"manta: cannot listen on 127.0.0.1:{port}")
    assert "Traceback" not in done.stderr


def test_a_server_that_is_not_there_is_one_line() -> None:
    done = manta("ask", "anything?", "--url", "http://127.0.0.1:9")
    assert done.returncode == 2
    assert "cannot reach http://127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr
