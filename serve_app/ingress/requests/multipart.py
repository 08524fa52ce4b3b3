"""Files in a multipart body, as browsers and `curl -F` send them.

A web page of any origin can make a browser post such a body to an open server on this machine, without
asking the server first. Browsers say where the page is from, so that is looked at.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.types import Message, Receive

from serve_app.errors import BadRequest, BodyTooLarge, Forbidden
from serve_app.ingress.requests.knowledge import DocumentBody, PutBody
from serve_app.messages import DocumentInput

MAX_FILES = 1_000
_MAX_FIELDS = 16
_MAX_FIELD_BYTES = 64 * 1024
_METADATA: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])


def is_multipart(request: Request) -> bool:
    given: str = request.headers.get("content-type", "")
    return given.partition(";")[0].strip().lower() == "multipart/form-data"


async def read_files(request: Request, max_bytes: int) -> tuple[str, list[DocumentInput]]:
    """The source, and a document for each file.

    Fields: `source`; `metadata`, a JSON object of texts that is kept with each; any others are files,
    whose names are the documents' paths.

    Raises:
        BodyTooLarge: it has more bytes, or says so before it comes.
        BadRequest: it is no such body; the message names the field.
        Forbidden: a page of another origin sent it.
        ClientDisconnect: the client left in the middle of it.
    """
    _check_origin(request)
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:19]) > max_bytes:
        raise _too_large(max_bytes)
    bounded = _Bounded(request.receive, max_bytes)
    limits = {"max_files": MAX_FILES, "max_fields": _MAX_FIELDS, "max_part_size": _MAX_FIELD_BYTES}
    async with Request(request.scope, bounded).form(**limits) as form:
        return await _documents(form)


async def _documents(form: FormData) -> tuple[str, list[DocumentInput]]:
    source, metadata = "", dict[str, str]()
    documents: dict[str, DocumentInput] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            path = value.filename or ""
            if path in documents:
                raise BadRequest(f"{name}: {path} is given twice", name)
            documents[path] = DocumentInput(path, await value.read(), value.content_type)
        elif name == "source":
            source = value
        elif name == "metadata":
            metadata = _metadata(value)
        else:
            raise BadRequest(f"{name} is neither a file nor one of: source, metadata", name)
    if not documents:
        raise BadRequest("the body has no file", "documents")
    return _checked(source, list(documents.values()), metadata)


def _checked(
    source: str, documents: list[DocumentInput], metadata: dict[str, str]
) -> tuple[str, list[DocumentInput]]:
    """The same rules for names as JSON bodies have."""
    try:
        bodies = [DocumentBody(path=one.path, text="", media_type=one.media_type) for one in documents]
        PutBody(source=source, documents=bodies)
    except ValidationError as exc:
        first = exc.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise BadRequest(f"{name}: {first['msg']}", name) from exc
    return source, [DocumentInput(one.path, one.content, one.media_type, metadata) for one in documents]


def _metadata(value: str) -> dict[str, str]:
    try:
        return _METADATA.validate_json(value)
    except ValidationError as exc:
        raise BadRequest('metadata must be a JSON object of texts: {"team": "sea"}', "metadata") from exc


def _check_origin(request: Request) -> None:
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host", ""):
        raise Forbidden(f"files are not taken from pages of another origin ({origin:.100})")


class _Bounded:
    """A way in that counts what comes, and remembers how it ends."""

    def __init__(self, receive: Receive, max_bytes: int) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._tail = b""

    async def __call__(self) -> Message:
        message = await self._receive()
        body = message.get("body", b"")
        self._num_bytes += len(body)
        self._tail = (self._tail + body[-8:])[-8:]
        if self._num_bytes > self._max_bytes:
            raise _too_large(self._max_bytes)
        is_last = message["type"] == "http.request" and not message.get("more_body", False)
        # The parser lets a body without its closing boundary pass, and leaves its last file out.
        if is_last and not self._tail.rstrip(b"\r\n").endswith(b"--"):
            raise BadRequest("the body breaks off: it has no closing boundary")
        return message


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {max_bytes} bytes")
