"""What a stranger, a forger, a hung peer and one of another version can do to the channel: nothing."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from serve_app.channel.address import HELLO_BYTES, NONCE_BYTES, PROOF_BYTES, ReplyTo, hello, proof, read_hello
from serve_app.channel.asked import Asked
from serve_app.channel.connecting import ChannelUnavailable
from serve_app.channel.frames import HEADER, VERSION, Kind, frame
from serve_app.channel.inbox import Inbox
from serve_app.channel.incoming import MAX_UNREAD_BYTES, NotTaken, SenderSilent
from serve_app.channel.local_socket import abstract, local_socket
from serve_app.channel.outbox import Outbox, StreamReset
from serve_app.errors import StreamLost
from serve_app.messages import Deadline, RequestContext


class Peer:
    """A sender made by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def reach(cls, reply_to: ReplyTo) -> Peer:
        sock = local_socket()
        await asyncio.get_running_loop().sock_connect(sock, abstract(reply_to.address.local_name))
        return cls(*await asyncio.open_unix_connection(sock=sock))

    async def prove(self, key: bytes, version: bytes | None = None) -> None:
        nonce = os.urandom(NONCE_BYTES)
        greeting = hello(nonce)
        if version is not None:
            at = HELLO_BYTES - NONCE_BYTES - 1
            greeting = greeting[:at] + version + greeting[at + 1 :]
        self.writer.write(greeting)
        answer = read_hello(await self.reader.readexactly(HELLO_BYTES))
        assert answer is not None
        await self.reader.readexactly(PROOF_BYTES)
        self.writer.write(proof(key, "sender", nonce, answer[1]))

    async def is_cut(self) -> bool:
        async with asyncio.timeout(10):
            try:
                while await self.reader.read(65536):
                    pass
            except ConnectionError:
                pass
        self.writer.close()
        return True


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    made = Inbox("a", "127.0.0.1", silence_s=30.0)
    yield made
    made.close()


async def one() -> AsyncIterator[bytes]:
    yield b"ours"


async def is_unharmed(inbox: Inbox) -> bool:
    """A stream of the application's own still comes through."""
    outbox = Outbox("a")
    incoming, reply_to = await inbox.open()
    await outbox.send_all(one(), reply_to)
    data = await anext(incoming)
    incoming.close()
    await outbox.close()
    return data == b"ours"


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\n\r\n" + bytes(200), bytes(4096), frame(1, Kind.DATA, b"x" * 400)]
)
async def test_who_does_not_say_hello_is_cut(inbox: Inbox, said: bytes) -> None:
    incoming, reply_to = await inbox.open()
    peer = await Peer.reach(reply_to)
    peer.writer.write(said)
    assert await peer.is_cut()
    assert not incoming.has_begun
    assert await is_unharmed(inbox)


async def test_who_does_not_know_the_key_injects_nothing(inbox: Inbox) -> None:
    incoming, reply_to = await inbox.open()
    peer = await Peer.reach(reply_to)
    await peer.prove(os.urandom(32))
    peer.writer.write(frame(reply_to.stream_id, Kind.DATA, b"forged"))
    assert await peer.is_cut()
    assert not incoming.has_begun
    assert await is_unharmed(inbox)


async def test_a_proof_cannot_be_used_again(inbox: Inbox) -> None:
    _, reply_to = await inbox.open()
    heard = await Peer.reach(reply_to)
    nonce = os.urandom(NONCE_BYTES)
    heard.writer.write(hello(nonce))
    first = read_hello(await heard.reader.readexactly(HELLO_BYTES))
    assert first is not None
    said = proof(reply_to.address.key, "sender", nonce, first[1])
    heard.writer.close()
    replayed = await Peer.reach(reply_to)
    replayed.writer.write(hello(nonce) + said)
    assert await replayed.is_cut()
    assert await is_unharmed(inbox)


async def test_a_sender_of_another_version_is_refused_with_both_versions(inbox: Inbox) -> None:
    _, reply_to = await inbox.open()
    peer = await Peer.reach(reply_to)
    await peer.prove(reply_to.address.key, version=b"\x09")
    assert await peer.is_cut()
    newer = dataclasses.replace(reply_to, address=dataclasses.replace(reply_to.address, version=9))
    with pytest.raises(ChannelUnavailable, match=f"version 9, ours {VERSION}"):
        await Outbox("a").send_all(one(), newer)
    assert await is_unharmed(inbox)


async def test_a_stream_cannot_be_written_into_by_another_sender(inbox: Inbox) -> None:
    incoming, reply_to = await inbox.open()
    owner, other = await Peer.reach(reply_to), await Peer.reach(reply_to)
    for peer in (owner, other):
        await peer.prove(reply_to.address.key)
    owner.writer.write(frame(reply_to.stream_id, Kind.DATA, b"mine "))
    assert await anext(incoming) == b"mine "
    other.writer.write(frame(reply_to.stream_id, Kind.DATA, b"not"))
    other.writer.write(frame(reply_to.stream_id, Kind.END))
    header = await other.reader.readexactly(HEADER.size)
    assert HEADER.unpack(header)[1] == Kind.RESET
    owner.writer.write(frame(reply_to.stream_id, Kind.DATA, b"still mine"))
    assert await anext(incoming) == b"still mine"
    for peer in (owner, other):
        peer.writer.close()


async def test_a_sender_that_floods_is_cut_and_its_stream_told(inbox: Inbox) -> None:
    incoming, reply_to = await inbox.open()
    peer = await Peer.reach(reply_to)
    await peer.prove(reply_to.address.key)
    for _ in range(MAX_UNREAD_BYTES // (1 << 20) + 2):
        peer.writer.write(frame(reply_to.stream_id, Kind.DATA, bytes(1 << 20)))
    assert await peer.is_cut()
    with pytest.raises(StreamLost):
        async for _ in incoming:
            pass
    assert await is_unharmed(inbox)


async def test_a_sender_that_hangs_is_given_up() -> None:
    inbox = Inbox("a", "127.0.0.1", silence_s=0.2)
    incoming, reply_to = await inbox.open()
    peer = await Peer.reach(reply_to)
    await peer.prove(reply_to.address.key)
    peer.writer.write(frame(reply_to.stream_id, Kind.DATA, b"half"))
    assert await anext(incoming) == b"half"
    with pytest.raises(SenderSilent):
        async with asyncio.timeout(10):
            await anext(incoming)
    assert await peer.is_cut()
    inbox.close()


async def test_a_sender_that_has_nothing_to_say_yet_is_not_given_up() -> None:
    inbox, outbox = Inbox("a", "127.0.0.1", silence_s=0.2), Outbox("a")
    incoming, reply_to = await inbox.open()

    async def slow() -> AsyncIterator[bytes]:
        await asyncio.sleep(1.0)  # five times as long as silence is allowed
        yield b"at last"

    await asyncio.gather(outbox.send_all(slow(), reply_to), anext(incoming))
    await outbox.close()
    inbox.close()


async def test_a_listener_in_our_place_is_not_believed(inbox: Inbox) -> None:
    """Someone else listens under the name, without the key."""
    _, reply_to = await inbox.open()
    name = "manta-test-" + os.urandom(8).hex()

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(HELLO_BYTES)
        writer.write(hello(os.urandom(NONCE_BYTES)) + os.urandom(PROOF_BYTES))
        await reader.read()
        writer.close()

    sock = local_socket()
    sock.bind(abstract(name))
    async with await asyncio.start_unix_server(pretend, sock=sock):
        address = dataclasses.replace(reply_to.address, local_name=name)
        with pytest.raises(ChannelUnavailable):
            await Outbox("a").send_all(one(), ReplyTo(address, 1))


async def test_only_the_listeners_own_certificate_is_trusted(inbox: Inbox) -> None:
    other = Inbox("a", "127.0.0.1")
    await inbox.listen_for_other_nodes()
    await other.listen_for_other_nodes()
    _, reply_to = await inbox.open()
    _, elsewhere = await other.open()
    assert reply_to.address.tls is not None
    assert elsewhere.address.tls is not None
    tls = dataclasses.replace(reply_to.address.tls, port=elsewhere.address.tls.port)
    address = dataclasses.replace(reply_to.address, tls=tls)
    with pytest.raises(ChannelUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        await Outbox("b").send_all(one(), ReplyTo(address, 1))
    other.close()


async def test_the_network_sees_no_plain_text(inbox: Inbox) -> None:
    await inbox.listen_for_other_nodes()
    _, reply_to = await inbox.open()
    assert reply_to.address.tls is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", reply_to.address.tls.port)
    writer.write(hello(os.urandom(NONCE_BYTES)))  # without TLS
    try:
        answer = await reader.read(1024)
    except ConnectionResetError:
        answer = b""
    assert read_hello(answer[:HELLO_BYTES]) is None
    writer.close()
    context = ssl.create_default_context()
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection("127.0.0.1", reply_to.address.tls.port, ssl=context)


async def test_a_caller_that_asks_in_nonsense_harms_none_of_its_other_streams(inbox: Inbox) -> None:
    outbox = Outbox("a")
    incoming, reply_to = await inbox.open()
    asked = Asked((), RequestContext("r", "t", Deadline.after(60.0)), reply_to)

    async def send(asked: Asked) -> None:
        with suppress(StreamReset):
            await outbox.send_all(endless(), asked.reply_to)

    sending = asyncio.create_task(outbox.send_call(asked, send))
    assert await anext(incoming) == b"first"
    assert incoming.link is not None
    nonsense, _ = await inbox.open()
    incoming.link.ask(nonsense, incoming.id, b"nonsense")
    with pytest.raises(NotTaken):
        await anext(nonsense)
    assert (outbox.num_streams, outbox.num_links) == (1, 1)
    incoming.close()
    await sending


async def endless() -> AsyncIterator[bytes]:
    yield b"first"
    await asyncio.Event().wait()
