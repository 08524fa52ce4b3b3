"""The receiving side: an ingress' or agent's replica listens, and engines bring its streams.

Nothing listens until the first call. For replicas on the same node that is an abstract Unix socket,
which leaves no file behind; the TLS listener for other nodes starts when a call has needed it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import uuid
from dataclasses import replace

from serve_app.channel.address import KEY_BYTES, ChannelAddress, ReplyTo, TlsEndpoint
from serve_app.channel.certificate import make_certificate
from serve_app.channel.incoming import Incoming
from serve_app.channel.joining import WAKE_UP_S
from serve_app.channel.local_socket import abstract, local_socket
from serve_app.channel.receiving import ReceiverLink

logger = logging.getLogger("manta.channel")


class Inbox:
    """All streams that come to one replica.

    Args:
        node_id: of this replica's node; senders of the same node come by the Unix socket.
        host: address of this node that replicas of other nodes reach.
        silence_s: a connection whose sender does not answer for so long is given up, in seconds.
        wake_up_s: what a stream's news cost this replica, in seconds; the more, the longer senders join them.
    """

    def __init__(
        self, node_id: str, host: str, *, silence_s: float = 10.0, wake_up_s: float = WAKE_UP_S
    ) -> None:
        self._node_id = node_id
        self._host = host
        self._silence_s = silence_s
        self._wake_up_s = wake_up_s
        self._id = f"manta-{uuid.uuid4().hex}"
        self._key = os.urandom(KEY_BYTES)
        self._numbers = itertools.count(1)
        self._streams: dict[int, Incoming] = {}
        self._links: set[ReceiverLink] = set()
        self._address: ChannelAddress | None = None
        self._starting = asyncio.Lock()
        self._servers: list[asyncio.AbstractServer] = []

    @property
    def silence_s(self) -> float:
        """A sender that does not answer for so long is given up, in seconds."""
        return self._silence_s

    @property
    def num_streams(self) -> int:
        return len(self._streams)

    @property
    def num_links(self) -> int:
        return len(self._links)

    async def open(self) -> tuple[Incoming, ReplyTo]:
        """A stream, and what to tell who shall send it.

        Raises:
            OSError: no socket is to be had.
        """
        address = self._address or await self._listen()
        stream_id = next(self._numbers) & 0xFFFFFFFF or next(self._numbers)
        stream = Incoming(stream_id, self._forget)
        self._streams[stream_id] = stream
        return stream, ReplyTo(address, stream_id)

    async def listen_for_other_nodes(self) -> None:
        """Calls from now on can be answered from other nodes. Starting twice is fine.

        Raises:
            OSError: no port is to be had.
        """
        await self._listen()
        async with self._starting:
            assert self._address is not None
            if self._address.tls is not None:
                return
            certificate_pem, context = make_certificate(self._id)
            loop = asyncio.get_running_loop()
            server = await loop.create_server(self._accept, self._host, 0, ssl=context)
            self._servers.append(server)
            port = server.sockets[0].getsockname()[1]
            tls = TlsEndpoint(self._host, port, certificate_pem)
            self._address = replace(self._address, tls=tls)
            logger.info("streams of other nodes come to %s:%d", self._host, port)

    def close(self) -> None:
        """Stop listening; what still comes is lost, and its readers are told."""
        for server in self._servers:
            server.close()
        for link in list(self._links):
            link.close()

    async def _listen(self) -> ChannelAddress:
        async with self._starting:
            if self._address is None:
                loop = asyncio.get_running_loop()
                with local_socket() as sock:
                    sock.bind(abstract(self._id))
                    self._servers.append(await loop.create_unix_server(self._accept, sock=sock.dup()))
                self._address = ChannelAddress(
                    self._id, self._node_id, self._id, self._key, wake_up_s=self._wake_up_s
                )
            return self._address

    def _accept(self) -> ReceiverLink:
        return ReceiverLink(self._key, self._streams, self._links, self._silence_s)

    def _forget(self, stream_id: int) -> None:
        self._streams.pop(stream_id, None)
