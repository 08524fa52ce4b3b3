"""Which addresses may be results: pages of the public web, of the domains that a profile wants. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

_MAX_URL_CHARS = 2000
# Names that only mean something inside one's own network: RFC 6761, RFC 6762, RFC 8375, and ICANN's `internal`.
_OWN_NETWORK = ("localhost", "local", "internal", "intranet", "lan", "home.arpa", "test", "invalid", "onion")


def public_host(url: str) -> str | None:
    """The host of an address that may be shown and cited; None if it may not.

    It may not if it is no http(s), carries a user or a password, points into somebody's own network (a link there
    is a lure: the reader's browser reaches what the writer cannot), or has characters that are no part of an address.
    """
    if len(url) > _MAX_URL_CHARS or any(char.isspace() or not char.isprintable() for char in url):
        return None
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:  # a port that is no number, half an IPv6 address
        return None
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or "\\" in url:
        return None
    host = host.rstrip(".").lower()
    return host if _is_public(host) else None


def is_within(host: str, domains: Collection[str]) -> bool:
    """Whether the host is one of the domains, or below one."""
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)


def _is_public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        pass
    last = host.rpartition(".")[2]
    # Browsers read 2130706433, 0x7f.1 and 127.1 as addresses; no top-level domain begins with a digit.
    is_number = not last or last[0].isdigit()
    return "." in host and not is_number and not is_within(host, _OWN_NETWORK)
