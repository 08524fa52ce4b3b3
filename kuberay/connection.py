"""The one seam to the official `kubernetes` client: kubeconfig, credentials and TLS are its business.

Sends requests by path and gives back documents; knows nothing of kinds. Every fault of the network becomes
`Lost`, everything that the API server says comes back as an `Answer`, errors too.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from kuberay.errors import ClusterError, NoCluster
from kuberay.objects import Document

Query = Sequence[tuple[str, str]]
Body = Document | list[dict[str, Any]] | None  # an object; or the operations of a JSON patch


class Lost(ClusterError):
    """The connection could not be made, or broke; `was_sent` is whether the server may have seen the request."""

    def __init__(self, message: str, was_sent: bool = True) -> None:  # noqa: FBT001, FBT002 (a pickled error)
        super().__init__(message, was_sent)
        self.was_sent = was_sent


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server said; header names are in lower case."""

    code: int
    document: Document
    headers: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class Transport(Protocol):
    """A connection to one API server.

    Both raise Lost when the connection fails.
    """

    address: str

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Body = None,
        content_type: str = "application/json",
        timeout_s: float = 30.0,
    ) -> Answer:
        """The answer to one request, whatever its code."""
        ...  # fmt: skip

    def stream(self, path: str, *, query: Query, timeout_s: float) -> Iterator[Document]:
        """The documents of a watch as they come, until the server ends it; one of kind Status if it refused."""
        ...

    def close(self) -> None:
        """Give its connections back."""
        ...


def connect(kubeconfig: Path | None = None, context: str | None = None) -> Transport:
    """The cluster that a kubeconfig names, or the one that this process runs in.

    `kubeconfig` None is what kubectl takes: $KUBECONFIG, else ~/.kube/config, else the pod's service account.

    Raises:
        NoCluster: the client is not installed, or no such file or context is there.
    """
    try:
        from kubernetes import config
        from kubernetes.config.config_exception import ConfigException
        from yaml import YAMLError
    except ImportError as exc:
        raise NoCluster("the kubernetes client is not installed: pip install 'manta[cluster]'") from exc
    if kubeconfig is not None and not kubeconfig.is_file():
        raise NoCluster(f"no cluster: the kubeconfig {kubeconfig} is not there")
    named = f"{kubeconfig or 'the default kubeconfig'}"
    try:
        with _hearing() as errors:
            client = config.new_client_from_config(
                config_file=str(kubeconfig) if kubeconfig else None, context=context, persist_config=False
            )
    except ConfigException as exc:
        if kubeconfig is None and context is None and (inside := _inside_a_pod()) is not None:
            return inside
        words = " ".join(str(exc).split())
        asked = f", context {context}" if context else ""
        raise NoCluster(f"no cluster: {named}{asked}: {words}") from exc
    except OSError as exc:
        raise NoCluster(f"no cluster: {named} cannot be read: {exc.strerror or exc}") from exc
    except (YAMLError, ValueError, TypeError, KeyError, AttributeError) as exc:
        raise NoCluster(
            f"no cluster: {named} is not a kubeconfig: {' '.join(str(exc).split())[:200]}"
        ) from exc
    transport = OfficialTransport(client)
    if errors:
        transport.close()
        raise NoCluster(f"no cluster: {named}: cannot sign in: {' '.join(errors[0].split())}")
    return transport


@contextmanager
def _hearing() -> Iterator[list[str]]:
    """What the client logs as an error: that is all it does when a program that signs in (`aws`) fails."""
    errors: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: errors.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        yield errors
    finally:
        logging.getLogger().removeHandler(handler)


def _inside_a_pod() -> Transport | None:
    from kubernetes import client, config
    from kubernetes.config.config_exception import ConfigException

    settings = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=settings)
    except ConfigException:
        return None
    return OfficialTransport(client.ApiClient(settings))


class OfficialTransport:
    """Over the official client's ApiClient. It signs in, renews tokens and speaks TLS; retries are ours."""

    def __init__(self, client: Any) -> None:
        """`client`: a kubernetes.client.ApiClient."""
        from kubernetes.dynamic import DynamicClient

        self._client = client
        self.address = str(client.configuration.host)
        # urllib3 would quietly try again, and sleep for as long as a Retry-After says.
        client.rest_client.pool_manager.connection_pool_kw["retries"] = False
        # Its paths and its errors, without its discovery, which keeps files in the temporary folder.
        self._requests = DynamicClient(client, discoverer=_NoDiscovery)

    def send(
        self, method: str, path: str, *, query: Query = (), body: Body = None,
        content_type: str = "application/json", timeout_s: float = 30.0,
    ) -> Answer:  # fmt: skip
        with self._asked(method, path, query, body, content_type, timeout_s) as response:
            return Answer(
                response.status,
                _document(response.data),
                _lower(response.headers),
                _warnings(response.headers),
            )

    def stream(self, path: str, *, query: Query, timeout_s: float) -> Iterator[Document]:
        with self._asked("get", path, query, None, "application/json", timeout_s) as response:
            if response.status >= 300:
                # What stands in front of an API server says no in other words than Status documents.
                yield {"kind": "Status", "code": response.status} | _document(response.data)
                return
            rest = b""
            for piece in response.stream(2**14, decode_content=True):
                *lines, rest = (rest + piece).split(b"\n")
                yield from (_event(line) for line in lines if line.strip())
            if rest.strip():
                raise Lost("the watch ended in the middle of a line")

    def close(self) -> None:
        self._client.rest_client.pool_manager.clear()
        if close := getattr(self._client, "close", None):
            close()

    @contextmanager
    def _asked(
        self, method: str, path: str, query: Query, body: Body, content_type: str, timeout_s: float
    ) -> Iterator[Any]:
        """The response, unread, refused or not; reading it may fail in the block."""
        import urllib3.exceptions as failures
        from kubernetes.client.exceptions import ApiException

        response = None
        try:
            response = self._requests.request(
                method, path, body=body, serialize=False, query_params=list(query),
                content_type=content_type, _request_timeout=timeout_s,
            )  # fmt: skip
            yield response
        except ApiException as exc:
            if not exc.status:  # the client's way to speak of TLS
                raise Lost(" ".join(str(exc.reason).split()), was_sent=False) from exc
            yield _Read(int(exc.status), exc.body, exc.headers or {})
        except (failures.NewConnectionError, failures.ConnectTimeoutError, failures.SSLError) as exc:
            raise Lost(_why(exc), was_sent=False) from exc
        except (failures.HTTPError, OSError) as exc:
            raise Lost(_why(exc)) from exc
        finally:
            if response is not None:
                response.release_conn() if response.closed else response.close()


@dataclass(frozen=True, slots=True)
class _Read:
    """A response that the client has read."""

    status: int
    data: Any
    headers: Any


class _NoDiscovery:
    def __init__(self, client: object, cache_file: object) -> None:
        """Ask nothing."""


def _event(line: bytes) -> Document:
    try:
        found = json.loads(line)
    except ValueError as exc:
        raise Lost(f"the watch said {line[:80]!r}, which is no event") from exc
    if not isinstance(found, dict):
        raise Lost(f"the watch said {line[:80]!r}, which is no event")
    return found


def _document(data: Any) -> Document:
    text = data.decode(errors="replace") if isinstance(data, bytes) else str(data or "")
    try:
        found = json.loads(text)
    except ValueError:
        return {"kind": "Status", "message": " ".join(text.split())[:300]}
    return found if isinstance(found, dict) else {"kind": "Status", "message": str(found)[:300]}


def _lower(headers: Any) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in dict(headers).items()}


def _warnings(headers: Any) -> tuple[str, ...]:
    """The texts of Warning headers (RFC 7234, 5.5), as the API server sends them: 299 - "text"."""
    lines = headers.getlist("warning") if hasattr(headers, "getlist") else []
    texts = []
    for line in lines:
        _, quote, text = line.partition('"')
        texts.append(text.rsplit('"', 1)[0].replace('\\"', '"') if quote else line)
    return tuple(texts)


def _why(exc: BaseException) -> str:
    """The last and plainest words of a chain of exceptions."""
    words = " ".join(str(exc).split())
    return words.rpartition(">: ")[2].rpartition("): ")[2] or exc.__class__.__name__
