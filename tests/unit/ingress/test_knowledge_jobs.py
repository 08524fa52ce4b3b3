"""Posted documents over a fake base: files, jobs, their progress and their end."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from configs.schema import IngressConfig
from serve_app.errors import NotFound, Overloaded
from serve_app.ingress.app import create_app
from serve_app.ingress.routes import knowledge_jobs
from serve_app.retrieval.jobs.base import Job, JobStatus

MAX_BODY_BYTES = 4096


class FakeJobs:
    """Keeps jobs; each look at one is a document further."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Job] = {}
        self.documents: list[Any] = []
        self.is_full = False

    async def submit(self, source: str, documents: Any, context: Any) -> Job:
        if self.is_full:
            raise Overloaded("this tenant has 4 jobs", 10.0)
        self.documents += documents
        size = sum(len(one.content) for one in documents)
        job = Job("job-1", context.tenant, source, JobStatus.QUEUED, len(documents), size, "now", "now")
        self.kept[context.tenant, job.id] = job
        return job

    async def job(self, job_id: str, context: Any) -> Job:
        job = self.kept.get((context.tenant, job_id))
        if job is None:
            raise NotFound(f"there is no job {job_id!r}")
        num_done = min(job.num_done + 1, job.num_documents)
        status = JobStatus.DONE if num_done == job.num_documents else JobStatus.RUNNING
        self.kept[context.tenant, job_id] = job = replace(job, num_done=num_done, status=status)
        return job

    async def jobs(self, context: Any) -> tuple[Job, ...]:
        return tuple(job for (tenant, _), job in self.kept.items() if tenant == context.tenant)

    async def cancel_job(self, job_id: str, context: Any) -> Job:
        return replace(await self.job(job_id, context), is_cancel_wanted=True)


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> FakeJobs:
    monkeypatch.setattr(knowledge_jobs, "POLL_EVERY_S", 0.0)
    return FakeJobs()


@pytest.fixture
async def client(services: Any, jobs: FakeJobs) -> Any:
    app = create_app(IngressConfig(max_body_bytes=MAX_BODY_BYTES), replace(services, jobs=jobs))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


FILES = [
    ("file", ("a/ü.md", b"# A", "text/markdown")),
    ("file", ("b.pdf", b"%PDF\x00", "application/pdf")),
]


async def test_files_become_a_job(client, jobs) -> None:
    form = {"source": "docs", "metadata": '{"team": "sea"}'}
    for path in ("/v1/knowledge/documents", "/v1/knowledge/jobs"):
        answer = await client.post(path, data=form, files=FILES)
        assert answer.status_code == 202
        assert answer.headers["location"] == "/v1/knowledge/jobs/job-1"
        job = answer.json()
        assert (job["object"], job["status"], job["num_documents"]) == ("knowledge.job", "queued", 2)
        assert "tenant" not in job
    first, second = jobs.documents[:2]
    assert (first.path, first.content, first.media_type) == ("a/ü.md", b"# A", "text/markdown")
    assert (second.content, second.metadata) == (b"%PDF\x00", {"team": "sea"})


async def test_files_can_be_waited_for(client, jobs) -> None:
    answer = await client.post("/v1/knowledge/documents?wait=true", data={"source": "docs"}, files=FILES[:1])
    assert (answer.status_code, answer.json()["counts"]["added"]) == (200, 1)
    assert jobs.documents == []


async def test_json_can_be_left_to_a_job(client, jobs) -> None:
    body = {"source": "docs", "documents": [{"path": "a.md", "text": "mantas"}]}
    assert (await client.post("/v1/knowledge/documents", json=body)).status_code == 200
    assert (await client.post("/v1/knowledge/documents?wait=false", json=body)).status_code == 202
    assert (await client.post("/v1/knowledge/jobs", json=body)).status_code == 202


async def test_a_job_is_looked_at_listed_and_cancelled(client) -> None:
    await client.post("/v1/knowledge/jobs", data={"source": "docs"}, files=FILES)
    assert (await client.get("/v1/knowledge/jobs/job-1")).json()["num_done"] == 1
    assert [one["id"] for one in (await client.get("/v1/knowledge/jobs")).json()["data"]] == ["job-1"]
    assert (await client.post("/v1/knowledge/jobs/job-1/cancel")).json()["is_cancel_wanted"]
    other = {"x-manta-tenant": "other"}
    assert (await client.get("/v1/knowledge/jobs", headers=other)).json()["data"] == []
    for method, path in (("GET", ""), ("POST", "/cancel"), ("GET", "/events")):
        answer = await client.request(method, f"/v1/knowledge/jobs/job-1{path}", headers=other)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_progress_comes_as_events_until_the_end(client) -> None:
    await client.post("/v1/knowledge/jobs", data={"source": "docs"}, files=FILES)
    answer = await client.get("/v1/knowledge/jobs/job-1/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [block.split("\n") for block in answer.text.strip().split("\n\n")]
    assert [lines[0] for lines in events] == ["event: job.progress", "event: job.finished"]
    assert [json.loads(lines[1].removeprefix("data: "))["num_done"] for lines in events] == [1, 2]


async def test_too_many_jobs_are_refused_with_a_time(client, jobs) -> None:
    jobs.is_full = True
    answer = await client.post("/v1/knowledge/jobs", data={"source": "docs"}, files=FILES)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "10")


@pytest.mark.parametrize(
    ("form", "files", "reason"),
    [
        ({"source": "docs"}, [("file", ("", b"x"))], "file is neither a file nor one of"),
        ({}, FILES, "source"),
        ({"source": "docs", "color": "red"}, FILES, "color is neither a file nor one of"),
        ({"source": "docs", "metadata": "[1]"}, FILES, "metadata must be a JSON object of texts"),
        ({"source": "docs"}, [FILES[0], FILES[0]], "is given twice"),
        ({"source": "docs"}, [("file", ("a" * 2000, b"x"))], "path: String should have at most 1024"),
    ],
)
async def test_a_faulty_form_is_refused_by_its_field(client, form, files, reason) -> None:
    answer = await client.post("/v1/knowledge/jobs", data=form, files=files)
    assert (answer.status_code, reason in answer.json()["error"]["message"]) == (400, True), answer.text


async def test_a_body_beyond_the_limit_is_refused_announced_or_not(client) -> None:
    big = [("file", ("a.md", b"x" * MAX_BODY_BYTES))]
    answer = await client.post("/v1/knowledge/jobs", data={"source": "docs"}, files=big)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")

    async def unannounced() -> Any:
        yield b'--b\r\nContent-Disposition: form-data; name="f"; filename="a.md"\r\n\r\n'
        for _ in range(9):
            yield b"x" * 1000

    answer = await client.post(
        "/v1/knowledge/jobs",
        content=unannounced(),
        headers={"content-type": "multipart/form-data; boundary=b"},
    )
    assert answer.status_code == 413


CUT = (
    b'--b\r\nContent-Disposition: form-data; name="source"\r\n\r\ndocs\r\n'
    b'--b\r\nContent-Disposition: form-data; name="f"; filename="a.md"\r\n\r\nx\r\n'
    b'--b\r\nContent-Disposition: form-data; name="f"; filename="b.md"\r\n\r\nhalf of'
)


async def test_broken_multipart_is_a_bad_request(client) -> None:
    for content_type, body in (
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"--c\r\nnonsense"),
        ("multipart/form-data; boundary=b", b"\xff\x00"),
        ("multipart/form-data; boundary=b", CUT),
    ):
        answer = await client.post("/v1/knowledge/jobs", content=body, headers={"content-type": content_type})
        assert answer.status_code == 400, answer.text


async def test_pages_of_another_origin_send_no_files(client) -> None:
    for origin, status in (("http://evil.example", 403), ("null", 403), ("http://test", 202)):
        answer = await client.post(
            "/v1/knowledge/jobs", data={"source": "docs"}, files=FILES, headers={"origin": origin}
        )
        assert answer.status_code == status
