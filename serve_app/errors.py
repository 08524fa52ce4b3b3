"""What can go wrong, by what the caller does about it.

    MantaError                     500  server_error            ask the operator
    |-- BadRequest                 400  invalid_request_error   fix the request
    |   |-- InputTooLong           400  context_length_exceeded shorten the input
    |   `-- ContentRefused         400  content_filter          leave out what is named
    |-- Unauthenticated            401  invalid_api_key         say who you are
    |-- Forbidden                  403  permission_denied       ask for the right, or as somebody else
    |-- NotFound                   404  not_found               name something that exists
    |   `-- ModelNotFound          404  model_not_found         pick a model from /v1/models
    |-- Conflict                   409  conflict                ask again: it has changed meanwhile
    |-- BodyTooLarge               413  request_too_large       send less
    |-- Overloaded                 429  overloaded              retry after a while
    |-- EngineRefused              any  (the engine's own)      do as the engine says
    |-- LimitReached               429  rate_limit_exceeded     retry after a while, or ask for more
    |   `-- BudgetSpent            429  insufficient_quota      wait for the next period, or ask for more
    |-- EngineFailed               502  engine_failed           retry, perhaps elsewhere
    |-- Unavailable                503  unavailable             retry after a while
    |   `-- StreamLost             503  stream_lost             ask again: the answer was cut
    |-- DeadlineExceeded           504  deadline_exceeded       allow more time
    |-- StorageFull                507  storage_full            free some disk
    `-- ConfigError                     (never over HTTP)       fix the configuration

Errors cross replicas by pickle, so every constructor argument goes to `super().__init__`.
"""

from __future__ import annotations

from typing import ClassVar


class MantaError(Exception):
    """A fault that we understand. `message` is written for the person who caused it."""

    status: int = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str | None] = None

    def __init__(self, message: str, *args: object) -> None:
        super().__init__(message, *args)
        self.message = message

    def __str__(self) -> str:
        return self.message


class BadRequest(MantaError):
    """The request cannot be served as it is; `param` names the field at fault."""

    status = 400
    type = "invalid_request_error"

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message, param)
        self.param = param


class InputTooLong(BadRequest):
    """The input has more tokens than the model takes."""

    code = "context_length_exceeded"


class ContentRefused(BadRequest):
    """The request holds something that a guard does not let through."""

    code = "content_filter"


class Unauthenticated(MantaError):
    """Nobody that we know asks this."""

    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"


class Forbidden(MantaError):
    """We know who asks, and they may not."""

    status = 403
    type = "invalid_request_error"
    code = "permission_denied"


class NotFound(MantaError):
    """The thing named in the request is not here."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"


class ModelNotFound(NotFound):
    """No model of that name is served."""

    code = "model_not_found"


class Conflict(MantaError):
    """What the request builds on was changed by another one in the meantime."""

    status = 409
    type = "invalid_request_error"
    code = "conflict"


class BodyTooLarge(MantaError):
    """The request's body is larger than the ingress accepts."""

    status = 413
    type = "invalid_request_error"
    code = "request_too_large"


class Overloaded(MantaError):
    """Every slot and every place in the queue is taken; try again after `retry_after_s`."""

    status = 429
    type = "rate_limit_error"
    code = "overloaded"

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message, retry_after_s)
        self.retry_after_s = retry_after_s


class LimitReached(MantaError):
    """Whoever asks has used what they may for now."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message, retry_after_s)
        self.retry_after_s = retry_after_s


class BudgetSpent(LimitReached):
    """The money for this day or month is spent."""

    code = "insufficient_quota"


class EngineRefused(MantaError):
    """An engine that is a server of its own said no. Clients get its status and its body as they are.

    `document` is that body, JSON; empty: there is none, and the error is told like any other.
    """

    status = 400
    type = "invalid_request_error"
    code = "engine_refused"

    def __init__(self, message: str, status: int = 400, document: bytes = b"") -> None:
        super().__init__(message, status, document)
        self.status = status
        self.document = document


class EngineFailed(MantaError):
    """The engine took the request and could not finish it."""

    status = 502
    code = "engine_failed"


class Unavailable(MantaError):
    """Something that this request needs is not there at the moment."""

    status = 503
    code = "unavailable"

    def __init__(self, message: str, retry_after_s: float = 5.0) -> None:
        super().__init__(message, retry_after_s)
        self.retry_after_s = retry_after_s


class StreamLost(Unavailable):
    """The replica that made the answer went away before it was complete."""

    code = "stream_lost"


class DeadlineExceeded(MantaError):
    """The request's time was over; `stage` says where it was by then."""

    status = 504
    code = "deadline_exceeded"

    def __init__(self, message: str, stage: str = "") -> None:
        super().__init__(message, stage)
        self.stage = stage


class StorageFull(MantaError):
    """The disk is full. What was stored before is intact; nothing new was kept."""

    status = 507
    code = "storage_full"


class ConfigError(MantaError):
    """The configuration or the installation is wrong. The command line prints it on one line."""
