"""The client's requests, at a server on loopback that looks at them and answers as it is told."""

from __future__ import annotations

import asyncio
import base64
import datetime
import ipaddress
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from configs.schema import BasicAuth, OpenSearchStoreConfig, SecretRef, SigV4Auth
from serve_app.errors import ConfigError, DeadlineExceeded, Overloaded, StorageFull, Unavailable
from serve_app.messages import Deadline
from serve_app.retrieval.stores.opensearch import bulk
from serve_app.retrieval.stores.opensearch.bulk import BulkWriter
from serve_app.retrieval.stores.opensearch.client import Client


class Server:
    """Answers with what stands next in `answers`, then with 200 and `{}`."""

    def __init__(self) -> None:
        self.seen: list[tuple[web.Request, bytes]] = []
        self.answers: list[tuple[int, Any]] = []
        self.delay_s = 0.0
        self.port = 0

    async def handle(self, request: web.Request) -> web.Response:
        self.seen.append((request, await request.read()))
        await asyncio.sleep(self.delay_s)
        status, document = self.answers.pop(0) if self.answers else (200, {})
        return web.json_response(document, status=status)


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Any]]:
    runners: list[web.AppRunner] = []

    async def begin(tls: ssl.SSLContext | None = None) -> Server:
        server = Server()
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", server.handle)
        runner = web.AppRunner(app, handler_cancellation=True)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        server.port = runner.addresses[0][1]
        return server

    yield begin
    for runner in runners:
        await runner.cleanup()


def config(server: Server, scheme: str = "http", **changes: Any) -> OpenSearchStoreConfig:
    given = {
        "kind": "opensearch",
        "url": f"{scheme}://127.0.0.1:{server.port}",
        "breaker_failures": 3,
    } | changes
    return OpenSearchStoreConfig.model_validate(given)


class Clock:
    """Sleeps without waiting, and says for how long."""

    def __init__(self) -> None:
        self.slept_s: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)


# ---------------------------------------------------------------- who asks


async def test_requests_are_signed_for_amazon(
    start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signature that the server would compute from what arrived is the one that arrived."""
    from botocore.auth import SigV4Auth as Signer
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-example")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token-example")
    server = await start()
    for service in ("es", "aoss"):
        auth = SigV4Auth(kind="sigv4", region="eu-central-1", service=service)  # type: ignore[arg-type]
        client = Client(config(server, auth=auth))
        await client.request(
            "POST",
            "/manta/_search",
            {"size": 1},
            params={"routing": "00ff", "refresh": "true"},
            what="a search",
        )
        await client.request("POST", "/manta/_bulk", b'{"index":{}}\n{"a":"\xc3\xa9"}\n', what="a write")
        await client.close()
    assert len(server.seen) == 4
    for request, body in server.seen:
        given = request.headers["Authorization"]
        match = re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/(\d{8})/eu-central-1/(es|aoss)/aws4_request, "
            r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
            given,
        )
        assert match, given
        names = match[3].split(";")
        assert {"host", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"} <= set(names)
        arrived = AWSRequest(request.method, f"http://{request.headers['Host']}{request.raw_path}", data=body)
        for name in names:
            if name != "host":
                arrived.headers[name] = request.headers[name]
        arrived.headers["Host"] = request.headers["Host"]
        arrived.context["timestamp"] = request.headers["X-Amz-Date"]
        signer = Signer(
            Credentials("AKIDEXAMPLE", "secret-example", "token-example"), match[2], "eu-central-1"
        )
        canonical = signer.canonical_request(arrived)
        assert signer.signature(signer.string_to_sign(arrived, canonical), arrived) == match[4]


async def test_basic_auth_is_sent_and_its_password_is_no_part_of_the_configuration(
    start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await start()
    auth = BasicAuth(kind="basic", user="manta", password=SecretRef(env="STORE_PASSWORD"))
    with pytest.raises(ConfigError, match="STORE_PASSWORD"):
        await Client(config(server, auth=auth)).request("GET", "/", what="the server")
    monkeypatch.setenv("STORE_PASSWORD", "geheim é")
    with pytest.raises(ConfigError, match="no HTTP header"):
        await Client(config(server, auth=auth)).request("GET", "/", what="the server")
    monkeypatch.setenv("STORE_PASSWORD", "a:secret")
    client = Client(config(server, auth=auth))
    await client.request("GET", "/", what="the server")
    await client.close()
    scheme, _, value = server.seen[0][0].headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(value) == b"manta:a:secret"
    assert "secret" not in repr(config(server, auth=auth))


def _certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A server's certificate for loopback, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "opensearch")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    ca, private = folder / "ca.pem", folder / "key.pem"
    ca.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(ca, private)
    return ca, tls


async def test_a_certificate_must_be_of_the_configured_authority(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    ca, tls = _certificate(tmp_path)
    server = await start(tls)
    trusting = Client(config(server, "https", ca_file=str(ca)))
    assert await trusting.request("GET", "/", what="the server") == {}
    await trusting.close()
    doubting = Client(config(server, "https", max_retries=0))
    with pytest.raises(Unavailable, match=r"certificate|cannot be reached"):
        await doubting.request("GET", "/", what="the server")
    await doubting.close()
    assert len(server.seen) == 1
    with pytest.raises(ConfigError, match="ca_file"):
        await Client(config(server, "https", ca_file=str(tmp_path / "none"))).request("GET", "/", what="x")


# ---------------------------------------------------------------- again, or not


async def test_what_may_pass_is_asked_again_and_the_rest_is_not(start: Callable[..., Any]) -> None:
    server, clock = await start(), Clock()
    client = Client(config(server), clock.sleep)
    server.answers = [
        (429, {"error": {"type": "es_rejected_execution_exception"}}),
        (503, {}),
        (200, {"a": 1}),
    ]
    assert await client.request("POST", "/x/_search", {}, what="a search") == {"a": 1}
    assert len(clock.slept_s) == 2
    assert clock.slept_s[0] < 0.11
    server.answers = [(400, {"error": {"type": "parsing_exception", "reason": "no such query"}})]
    with pytest.raises(Unavailable, match="refused a search: no such query"):
        await client.request("POST", "/x/_search", {}, what="a search")
    server.answers = [(401, {"message": "who are you"})]
    with pytest.raises(Unavailable, match="refused the credentials"):
        await client.request("POST", "/x/_search", {}, what="a search")
    assert len(server.seen) == 5
    server.answers = [(429, {})] * 9
    with pytest.raises(Overloaded):
        await client.request("POST", "/x/_search", {}, what="a search")
    assert len(server.seen) == 5 + 4
    await client.close()


async def test_no_attempt_is_made_that_the_deadline_has_no_room_for(start: Callable[..., Any]) -> None:
    server, clock = await start(), Clock()
    client = Client(config(server), clock.sleep)
    with pytest.raises(DeadlineExceeded):
        await client.request("GET", "/", what="the server", deadline=Deadline.after(-1.0))
    server.answers = [(503, {})] * 9
    with pytest.raises(DeadlineExceeded):
        await client.request("GET", "/", what="the server", deadline=Deadline.after(0.05))
    assert len(server.seen) == 1
    await client.close()


async def test_a_server_that_never_answers_is_left_alone_for_a_while(start: Callable[..., Any]) -> None:
    server = await start()
    server.delay_s = 30.0
    client = Client(config(server, request_timeout_s=0.02, breaker_pause_s=60.0))
    for _ in range(3):
        with pytest.raises(Unavailable, match="did not answer within"):
            await client.request("GET", "/", what="the server")
    num_seen = len(server.seen)
    with pytest.raises(Unavailable, match="asked again in"):
        await client.request("GET", "/", what="the server")
    assert len(server.seen) == num_seen
    await client.close()


# ---------------------------------------------------------------- bulk


def _items(*results: tuple[int, str | None]) -> tuple[int, Any]:
    error = [{"error": {"type": kind, "reason": kind}} if kind else {} for _, kind in results]
    return 200, {
        "items": [{"index": {"status": status} | error[at]} for at, (status, _) in enumerate(results)]
    }


def _actions(num: int) -> list[bulk.Action]:
    return [bulk.put(str(number), {"n": number}, None) for number in range(num)]


def _ids(body: bytes) -> list[str]:
    return [json.loads(line)["index"]["_id"] for line in body.splitlines()[::2]]


async def test_only_the_items_without_room_are_sent_again(start: Callable[..., Any]) -> None:
    server, clock = await start(), Clock()
    client = Client(config(server))
    full = (429, "es_rejected_execution_exception")
    server.answers = [
        _items((201, None), full, (200, None), full),
        _items((201, None), full),
        _items((201, None)),
    ]
    await BulkWriter(client, config(server), clock.sleep).write("manta", _actions(4))
    assert [_ids(body) for _, body in server.seen] == [["0", "1", "2", "3"], ["1", "3"], ["3"]]
    assert clock.slept_s == [0.2, 0.4]
    assert server.seen[0][0].query["require_alias"] == "true"
    await client.close()


@pytest.mark.parametrize(
    ("kind", "status", "reason", "error"),
    [
        ("mapper_parsing_exception", 400, "", Unavailable),
        ("cluster_block_exception", 429, "flood stage disk watermark exceeded", StorageFull),
        (
            "cluster_block_exception",
            403,
            "index read-only / allow delete (api) [read-only-allow-delete]",
            StorageFull,
        ),
        ("index_not_found_exception", 404, "", Unavailable),
    ],
)
async def test_an_item_at_fault_is_an_error_though_the_request_succeeded(
    start: Callable[..., Any], kind: str, status: int, reason: str, error: type[Exception]
) -> None:
    server, clock = await start(), Clock()
    client = Client(config(server))
    failed = {"index": {"status": status, "error": {"type": kind, "reason": reason}}}
    server.answers = [(200, {"items": [{"index": {"status": 201}}, failed]})]
    with pytest.raises(error):
        await BulkWriter(client, config(server), clock.sleep).write("manta", _actions(2))
    assert len(server.seen) == 1
    await client.close()


async def test_an_answer_that_leaves_items_out_is_no_success(start: Callable[..., Any]) -> None:
    server = await start()
    client = Client(config(server))
    server.answers = [_items((201, None))]
    with pytest.raises(Unavailable, match="1 of 2"):
        await BulkWriter(client, config(server)).write("manta", _actions(2))
    await client.close()


def test_batches_are_limited_by_count_and_bytes() -> None:
    actions = [bulk.Action(b"x" * size) for size in (10, 10, 10, 100, 1, 1, 1, 1)]
    made = [[len(one.lines) for one in batch] for batch in bulk.batches(actions, max_count=3, max_bytes=25)]
    assert made == [[10, 10], [10], [100], [1, 1, 1], [1]]
    assert list(bulk.batches([], 3, 25)) == []
