"""A bucket's prefix as a source, against moto's S3 server on loopback."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from moto.server import ThreadedMotoServer

from configs.schema import S3Source
from serve_app.retrieval.sources.base import Content, ObjectUnreadable, SourceUnavailable
from serve_app.retrieval.sources.globs import chooser
from serve_app.retrieval.sources.s3 import S3Objects


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str) -> Iterator[httpx.Client]:
    """An empty bucket `docs`; keys are paths of requests."""
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")).close()
    # moto looks whether a request is signed, not how.
    signed = {"authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request"}
    with httpx.Client(base_url=f"{endpoint}/docs/", headers=signed, trust_env=False) as client:
        assert client.put("").status_code == 200
        yield client


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "TEST_S3_ID", "an-id")
    monkeypatch.setitem(os.environ, "TEST_S3_WORD", "a-word")


def source(endpoint: str, url: str = "s3://docs/base", **options: Any) -> S3Source:
    signed = {"access_key_id": {"env": "TEST_S3_ID"}, "secret_access_key": {"env": "TEST_S3_WORD"}}
    own = signed if not options.get("is_public") else {}
    given = {"kind": "s3", "name": "bucket", "url": url, "endpoint": endpoint, "region": "us-east-1"}
    return S3Source.model_validate({**given, **own, **options})


def put(bucket: httpx.Client, key: str, text: str, media_type: str = "binary/octet-stream") -> None:
    headers = {"content-type": media_type}
    assert bucket.put(key, content=text.encode(), headers=headers).status_code == 200


async def test_objects_below_the_prefix_by_etag(bucket: httpx.Client, endpoint: str) -> None:
    for key in ("base/a.md", "base/deep/b.txt", "base/image.png", "basement/c.md", "base/drafts/d.md"):
        put(bucket, key, f"# {key}")
    objects = S3Objects(source(endpoint), chooser([], ["drafts/"]))
    found = [one async for one in objects.objects()]
    assert [(one.path, one.num_bytes) for one in found] == [("a.md", 11), ("deep/b.txt", 17)]
    assert objects.num_skipped == 2
    assert found[0].version is not None
    assert found[0].version.startswith('etag:"')
    assert found[0].metadata["uri"] == "s3://docs/base/a.md"
    assert found[0].metadata["modified_at"].endswith("+00:00")

    read = await objects.read(found[0], 100)
    assert isinstance(read, Content)
    assert (read.data, read.version, read.media_type) == (b"# base/a.md", found[0].version, None)
    assert await objects.read(found[0], 100, known_version=read.version) is None

    put(bucket, "base/a.md", "# other", "text/markdown")
    again = [one async for one in objects.objects()]
    assert (again[0].version != found[0].version, again[1].version) == (True, found[1].version)
    newer = await objects.read(found[0], 100, known_version=read.version)  # newer than what was listed
    assert newer is not None
    assert (newer.data, newer.version, newer.media_type) == (b"# other", again[0].version, "text/markdown")


async def test_more_than_a_page_of_objects(bucket: httpx.Client, endpoint: str) -> None:
    for number in range(1_005):
        put(bucket, f"base/{number:05}.md", "x")
    paths = [one.path async for one in S3Objects(source(endpoint)).objects()]
    assert paths == [f"{number:05}.md" for number in range(1_005)]


async def test_what_cannot_be_read_says_why(bucket: httpx.Client, endpoint: str) -> None:
    put(bucket, "base/a.md", "x" * 50)
    objects = S3Objects(source(endpoint))
    (found,) = [one async for one in objects.objects()]
    with pytest.raises(ObjectUnreadable, match="it has 50 bytes; the limit is 49"):
        await objects.read(found, 49)
    put(bucket, "base/a.md", "x" * 90)
    with pytest.raises(ObjectUnreadable, match="it has 90 bytes; the limit is 50"):
        await objects.read(found, 50)
    assert bucket.delete("base/a.md").status_code == 204
    with pytest.raises(ObjectUnreadable, match="gone since it was listed"):
        await objects.read(found, 50)


async def test_a_bucket_that_is_not_there_is_no_empty_one(bucket: httpx.Client, endpoint: str) -> None:
    objects = S3Objects(source(endpoint, "s3://elsewhere/base"))
    with pytest.raises(SourceUnavailable, match="bucket cannot be listed: s3://elsewhere/base"):
        [one async for one in objects.objects()]


async def test_without_a_key_only_what_is_public_is_read(bucket: httpx.Client, endpoint: str) -> None:
    put(bucket, "base/a.md", "x")
    objects = S3Objects(source(endpoint, is_public=True))
    (found,) = [one async for one in objects.objects()]
    with pytest.raises(ObjectUnreadable, match="does not let us read it"):
        await objects.read(found, 100)
