"""What a profile reaches over the network: the addresses that stand in it. Pure; opens nothing.

Reads every URL of a part of the tree, whatever it is for, so that a new setting with an address needs no line here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from configs.schema.base import Strict

_PORTS = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379, "s3": 443, "gs": 443, "az": 443}
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """A server's address. Of an object store `host` is the bucket."""

    host: str
    port: int

    def namespace(self, known: Collection[str]) -> str | None:
        """The namespace of a Service of this cluster; None: it is not one.

        `redis.data.svc.cluster.local` and `redis.data.svc` are, whatever the namespace; `redis.data` is only where
        `data` is `known`, for else it could be anybody's domain.
        """
        short = self.host.removesuffix(".cluster.local")
        labels = short.removesuffix(".svc").split(".")
        is_service = len(labels) == 2 and (short.endswith(".svc") or labels[1] in known)
        return labels[1] if is_service else None


def endpoints(part: Strict | None) -> tuple[Endpoint, ...]:
    """The servers that a part of the profile names, each once, in order; what is on the pod itself is left out."""
    return tuple(sorted(set(_endpoints(part))))


def _endpoints(value: object) -> Iterator[Endpoint]:
    if isinstance(value, str):
        yield from _endpoint(value)
    elif isinstance(value, Strict):
        for name in type(value).model_fields:
            yield from _endpoints(getattr(value, name))
    elif isinstance(value, dict):
        for one in value.values():
            yield from _endpoints(one)
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _endpoints(one)


def _endpoint(text: str) -> Iterator[Endpoint]:
    scheme, separator, _ = text.partition("://")
    if not separator or scheme not in _PORTS or any(character.isspace() for character in text):
        return
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError:  # of a text that only begins like one: `https://[`
        return
    if host and host not in _LOOPBACK:
        yield Endpoint(host, port or _PORTS[scheme])
