"""/v1/knowledge over a fake base: shapes, tenants, and faults that name the document."""

import base64
import hashlib

from serve_app.errors import StorageFull

DOCS = {
    "source": "docs",
    "documents": [{"path": "a.md", "text": "mantas glide"}, {"path": "b.md", "text": "reef"}],
}


async def test_documents_live_and_die(client) -> None:
    put = (await client.post("/v1/knowledge/documents", json=DOCS)).json()
    assert put["counts"] == {"added": 2, "changed": 0, "unchanged": 0, "removed": 0, "failed": 0}
    ids = [row["document_id"] for row in put["data"]]

    first = (await client.get("/v1/knowledge/documents", params={"limit": 1})).json()
    assert (len(first["data"]), first["has_more"]) == (1, True)
    rest = await client.get("/v1/knowledge/documents", params={"limit": 1, "after": first["data"][0]["id"]})
    assert (len(rest.json()["data"]), rest.json()["has_more"]) == (1, False)
    assert (await client.get("/v1/knowledge/documents", params={"source": "x"})).json()["data"] == []
    assert (await client.get("/v1/knowledge/status")).json()["num_documents"] == 2

    gone = await client.delete(f"/v1/knowledge/documents/{ids[0]}")
    assert gone.json() == {"object": "knowledge.document.deleted", "id": ids[0], "deleted": True}
    assert (await client.delete(f"/v1/knowledge/documents/{ids[0]}")).status_code == 404
    many = await client.post("/v1/knowledge/documents/delete", json={"ids": ids})
    assert many.json()["num_deleted"] == 1


async def test_a_search_gives_passages(client) -> None:
    await client.post("/v1/knowledge/documents", json=DOCS)
    found = (await client.post("/v1/knowledge/search", json={"query": "mantas", "k": 3})).json()
    assert [passage["path"] for passage in found["data"]] == ["a.md"]
    assert found["data"][0]["cosine"] is None
    assert found["flags"] == []


async def test_tenants_see_their_own(client) -> None:
    await client.post("/v1/knowledge/documents", json=DOCS, headers={"x-manta-tenant": "one"})
    other = await client.post(
        "/v1/knowledge/search", json={"query": "mantas"}, headers={"x-manta-tenant": "two"}
    )
    assert other.json()["data"] == []


async def test_a_plan_says_what_to_send(client) -> None:
    await client.post("/v1/knowledge/documents", json=DOCS)
    sha = hashlib.sha256(b"mantas glide").hexdigest()
    plan = await client.post(
        "/v1/knowledge/sync/plan", json={"source": "docs", "documents": {"a.md": sha, "c.md": "0" * 64}}
    )
    assert plan.json()["upload"] == ["c.md"]
    assert plan.json()["num_unchanged"] == 1
    assert len(plan.json()["gone"]) == 1


async def test_bytes_come_in_base64(client) -> None:
    document = {"path": "x.bin", "content_base64": base64.b64encode(b"\x00\x01").decode()}
    put = await client.post("/v1/knowledge/documents", json={"source": "docs", "documents": [document]})
    assert put.json()["data"][0] == {
        "path": "x.bin",
        "status": "failed",
        "reason": "is no text",
        "num_chunks": 0,
        "num_embedded": 0,
    }


async def test_a_faulty_document_is_named(client) -> None:
    for document, param in (
        ({"path": "x", "content_base64": "%%%"}, "documents.0.content_base64"),
        ({"path": "x", "content_base64": "é"}, "documents.0.content_base64"),
        ({"path": "x"}, "documents.0"),
        ({"path": "x", "text": "a", "content_base64": ""}, "documents.0"),
        ({"path": "", "text": "a"}, "documents.0.path"),
        ({"path": "x", "text": "a", "metadata": {"n": 1}}, "documents.0.metadata.n"),
    ):
        body = {"source": "docs", "documents": [document]}
        answer = await client.post("/v1/knowledge/documents", json=body)
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == param
    twice = {"source": "docs", "documents": [{"path": "x", "text": "a"}] * 2}
    assert (
        "given twice" in (await client.post("/v1/knowledge/documents", json=twice)).json()["error"]["message"]
    )


async def test_parameters_are_checked(client) -> None:
    answer = await client.get("/v1/knowledge/documents", params={"limit": "many"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "limit")
    assert (await client.get("/v1/knowledge/documents", params={"limit": 0})).status_code == 400


async def test_a_full_disk_has_its_status(client, services, monkeypatch) -> None:
    async def full(*args) -> None:
        raise StorageFull("the disk is full")

    monkeypatch.setattr(services.knowledge, "put_documents", full)
    answer = await client.post("/v1/knowledge/documents", json=DOCS)
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "storage_full")
