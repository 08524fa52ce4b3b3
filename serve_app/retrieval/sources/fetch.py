"""HTTP for addresses that others wrote: only to hosts on a list, only to public addresses, bounded in everything.

A host's name is resolved here, every address of it is checked, and the connection goes to the address
that was checked: a name that resolves otherwise a moment later (DNS rebinding) changes nothing.
Redirects are followed one by one under the same rules. Cookies, proxies and credentials of the
environment have no part in it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import httpx

from serve_app.retrieval.sources.base import ObjectUnreadable, too_large

MAX_REDIRECTS = 5
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_BUSY = frozenset((429, 503))
_CONNECT_TIMEOUT_S = 5.0  # of one address; a host may have several
_MAX_TRIES = 3  # where a server says that it is busy
_MAX_WAIT_S = 10.0  # of what its Retry-After asks for
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052; networks without IPv4 reach it so
_PORTS = {"http": 80, "https": 443}

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]  # host, port -> addresses
Sleep = Callable[[float], Awaitable[None]]


class NoAnswer(ObjectUnreadable):
    """The server was not reached, broke off, or took too long: others of it may fare no better."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer, whose body is whole. 304 has none."""

    status: int
    headers: httpx.Headers
    data: bytes
    url: str  # after redirects


async def resolve(host: str, port: int) -> Sequence[str]:
    """The host's addresses, by the system's resolver. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Fetcher:
    """Gets what is allowed.

    Args:
        allow: hosts; `*.example.org` is all below it; without a port the scheme's own.
        allow_private: whether addresses that are not public may be asked.
        user_agent: who asks.
        timeout_s: for one `get`, redirects and waits included.
        resolve: names to addresses.
        sleep: waits.
    """

    def __init__(
        self,
        allow: Sequence[str],
        *,
        allow_private: bool,
        user_agent: str,
        timeout_s: float,
        resolve: Resolve = resolve,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._allow = tuple(one.lower() for one in allow)
        self._allow_private = allow_private
        self._timeout_s = timeout_s
        self._resolve = resolve
        self._sleep = sleep
        self._http = httpx.AsyncClient(
            # Compressed bodies grow after they were counted; few servers insist.
            headers={"user-agent": user_agent, "accept": "*/*", "accept-encoding": "identity"},
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_TIMEOUT_S)),
            follow_redirects=False,
            trust_env=False,
        )

    def allows(self, url: str) -> bool:
        """Whether the list has the URL's host. Its addresses are another question."""
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL:
            return False
        return self._refusal(parsed) is None

    async def get(self, url: str, max_bytes: int, headers: Mapping[str, str] | None = None) -> Fetched:
        """The answer at the end of the redirects: 200 with its body, or 304.

        Raises:
            ObjectUnreadable: a host or address that may not be asked, another status, too many redirects,
                more than `max_bytes`.
            NoAnswer: nothing came, or not in time.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._follow(httpx.URL(url), max_bytes, headers or {})
        except httpx.InvalidURL as exc:
            raise ObjectUnreadable(f"it is no URL: {exc}") from exc
        except TimeoutError as exc:
            raise NoAnswer(f"no answer within {self._timeout_s:g} s") from exc
        except httpx.TransportError as exc:
            raise NoAnswer(f"no answer: {str(exc) or exc.__class__.__name__}") from exc
        except httpx.DecodingError as exc:
            raise ObjectUnreadable(f"its body is not what its content-encoding says: {exc}") from exc

    async def close(self) -> None:
        await self._http.aclose()

    async def _follow(self, url: httpx.URL, max_bytes: int, headers: Mapping[str, str]) -> Fetched:
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._patiently(url, max_bytes, headers)
            if isinstance(answer, Fetched):
                return answer
            if url.scheme == "https" and answer.scheme == "http":
                raise ObjectUnreadable(f"it redirects from https to {answer}")
            url = answer
        raise ObjectUnreadable(f"it redirects more than {MAX_REDIRECTS} times")

    async def _patiently(
        self, url: httpx.URL, max_bytes: int, headers: Mapping[str, str]
    ) -> Fetched | httpx.URL:
        for attempt in range(1, _MAX_TRIES + 1):
            answer = await self._once(url, max_bytes, headers)
            if not isinstance(answer, float):
                return answer
            if attempt < _MAX_TRIES:
                await self._sleep(min(answer, _MAX_WAIT_S))
        raise NoAnswer(f"{url.host} was busy {_MAX_TRIES} times (429 or 503)")

    async def _once(
        self, url: httpx.URL, max_bytes: int, headers: Mapping[str, str]
    ) -> Fetched | httpx.URL | float:
        """The answer, where it redirects to, or the seconds that a busy server asks for."""
        if refusal := self._refusal(url):
            raise ObjectUnreadable(refusal)
        for address, is_last in await self._addresses(url):
            try:
                return await self._ask(url, address, max_bytes, headers)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if is_last:
                    raise
        raise NoAnswer(f"{_host(url)} has no address")

    async def _ask(
        self, url: httpx.URL, address: str, max_bytes: int, headers: Mapping[str, str]
    ) -> Fetched | httpx.URL | float:
        """Ask at that address; certificates are still those of the name."""
        aimed = url.copy_with(host=_bracketed(address))
        named = {**headers, "host": url.netloc.decode("ascii")}
        own = {"sni_hostname": _host(url)}
        async with self._http.stream("GET", aimed, headers=named, extensions=own) as response:
            status = response.status_code
            if status in _REDIRECTS:
                if not (location := response.headers.get("location")):
                    raise ObjectUnreadable(f"it redirects nowhere ({status})")
                return url.join(location)
            if status in _BUSY:
                return _seconds(response.headers.get("retry-after"))
            if status == 304:
                return Fetched(status, response.headers, b"", str(url))
            if status != 200:
                _refuse_status(status)
            return Fetched(status, response.headers, await _body(response, max_bytes), str(url))

    def _refusal(self, url: httpx.URL) -> str | None:
        """Why the list does not let it be asked; None: it does."""
        if url.scheme not in _PORTS:
            return f"{url}: only http and https are read"
        if url.userinfo:
            return f"{url.host}: a URL with a user or password is not read"
        host, port = _bracketed(_host(url)).lower(), url.port or _PORTS[url.scheme]
        is_own = port == _PORTS[url.scheme]
        names = (f"{host}:{port}", *((host,) if is_own else ()))
        if any(_matches(one, name) for one in self._allow for name in names):
            return None
        return f"{names[-1]} is not on the list of allowed hosts"

    async def _addresses(self, url: httpx.URL) -> list[tuple[str, bool]]:
        """The host's addresses, all of which may be asked; and whether each is the last one."""
        host = _host(url)
        try:
            found = list(dict.fromkeys(await self._resolve(host, url.port or _PORTS[url.scheme])))
        except OSError as exc:
            raise NoAnswer(f"{host} has no address: {exc.strerror or exc}") from exc
        for address in found:
            if not self._allow_private and not _is_public(address):
                raise ObjectUnreadable(f"{host} has the address {address}, which is not public")
        return [(address, address == found[-1]) for address in found]


def _host(url: httpx.URL) -> str:
    return url.raw_host.decode("ascii")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _matches(allowed: str, host: str) -> bool:
    return host.endswith(allowed[1:]) if allowed.startswith("*.") else host == allowed


def _is_public(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    meant = parsed if isinstance(parsed, ipaddress.IPv4Address) else _inner(parsed) or parsed
    return meant.is_global and not meant.is_multicast


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The address of IPv4 that one of IPv6 is another way to write: mapped, 6to4, or through NAT64."""
    if address in _NAT64:
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour


def _seconds(given: str | None) -> float:
    return float(given) if given and given.isdecimal() and len(given) < 6 else 1.0


def _refuse_status(status: int) -> NoReturn:
    if status in (404, 410):
        raise ObjectUnreadable(f"it is not there ({status})")
    if status in (401, 403):
        raise ObjectUnreadable(f"it may not be read ({status})")
    kind = NoAnswer if status >= 500 else ObjectUnreadable
    raise kind(f"the server answers {status}")


async def _body(response: httpx.Response, max_bytes: int) -> bytes:
    announced = response.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:19]) > max_bytes:
        raise too_large(int(announced[:19]), max_bytes)
    parts: list[bytes] = []
    num_bytes = 0
    async for part in response.aiter_bytes():
        num_bytes += len(part)
        if num_bytes > max_bytes:
            raise too_large(None, max_bytes)
        parts.append(part)
    return b"".join(parts)
