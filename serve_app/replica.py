"""This replica's ends of the stream channel. The only place that asks Ray where it runs."""

from __future__ import annotations

import ray

from configs.schema import StreamsConfig
from serve_app.channel.inbox import Inbox
from serve_app.channel.outbox import Outbox


def open_inbox(config: StreamsConfig) -> Inbox | None:
    """Where this replica's streams arrive; None if they take Serve's own way."""
    if config.transport == "plain":
        return None
    host: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return Inbox(_node_id(), host, silence_s=config.silence_timeout_s)


def open_outbox() -> Outbox:
    """Whence this replica's streams leave."""
    return Outbox(_node_id())


def _node_id() -> str:
    node_id: str = ray.get_runtime_context().get_node_id()
    return node_id
