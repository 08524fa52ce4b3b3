from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, RayTaskError
from ray.serve._private.common import DeploymentID
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RequestCancelledError

from serve_app.calls import Caller
from serve_app.errors import (
    BadRequest,
    DeadlineExceeded,
    EngineFailed,
    MantaError,
    ModelNotFound,
    Overloaded,
    StreamLost,
    Unavailable,
)
from serve_app.messages import Deadline, RequestContext


class Response:
    """A DeploymentResponse, plain or streaming, as far as a Caller uses one."""

    def __init__(self, items: list[Any]) -> None:
        self._items = items  # exceptions are raised when their turn comes; None waits for ever
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True

    def __await__(self) -> Any:
        return self.__anext__().__await__()

    async def __anext__(self) -> Any:
        if not self._items:
            raise StopAsyncIteration
        item = self._items.pop(0)
        if item is None:
            await asyncio.Event().wait()
        if isinstance(item, BaseException):
            raise item
        return item.value if isinstance(item, Returned) else item


class Returned:
    def __init__(self, value: Any) -> None:
        self.value = value


class Handle:
    def __init__(self, *items: Any) -> None:
        self.response = Response(list(items))

    def options(self, **options: object) -> Handle:
        return self

    @property
    def work(self) -> Handle:
        return self

    def remote(self, *args: Any, **kwargs: Any) -> Response:
        return self.response


def context(seconds: float = 60.0) -> RequestContext:
    return RequestContext("r", "t", Deadline.after(seconds))


def task_error(cause: Exception) -> RayTaskError:
    return RayTaskError("work", "traceback", cause).as_instanceof_cause()


FAULTS = [
    (task_error(BadRequest("no", "field")), BadRequest, "no"),
    (task_error(ModelNotFound("none")), ModelNotFound, "none"),
    (BadRequest("raised as it is, over gRPC"), BadRequest, "over gRPC"),
    (task_error(ZeroDivisionError("division")), EngineFailed, "the engine failed: ZeroDivisionError"),
    (task_error(TimeoutError("theirs")), EngineFailed, "the engine failed: TimeoutError: theirs"),
    (BackPressureError(3, 2), Overloaded, "the engine has no free place"),
    (RequestCancelledError("r"), Unavailable, "cancelled"),
    (ActorDiedError(), StreamLost, "the engine is not there any more: ActorDiedError"),
    (DeploymentUnavailableError(DeploymentID("m", "app")), Unavailable, "the engine is not there: Depl"),
]


@pytest.mark.parametrize(("fault", "expected", "words"), FAULTS)
async def test_faults_of_ray_become_errors_of_our_tree(
    fault: Exception, expected: type[MantaError], words: str
) -> None:
    with pytest.raises(expected, match=words) as caught:
        await Caller(Handle(fault), "the engine").call("work", context=context())
    assert type(caught.value) is expected  # not Ray's class that inherits from two
    with pytest.raises(expected, match=words):
        async for _ in Caller(Handle("first", fault), "the engine").stream("work", context=context()):
            pass


async def test_the_field_at_fault_survives_the_way() -> None:
    with pytest.raises(BadRequest) as caught:
        await Caller(Handle(task_error(BadRequest("no", "messages"))), "m").call("work", context=context())
    assert caught.value.param == "messages"


async def test_time_that_is_over_cancels_the_call_and_names_the_stage() -> None:
    for is_stream in (False, True):
        handle = Handle(None)
        caller = Caller(handle, "the engine")
        soon = context(0.01)
        work = anext(caller.stream("work", context=soon)) if is_stream else caller.call("work", context=soon)
        with pytest.raises(DeadlineExceeded) as caught:
            await work
        assert caught.value.stage == "the engine"
        assert handle.response.is_cancelled


async def test_a_call_whose_time_is_over_is_not_made() -> None:
    handle = Handle("never")
    with pytest.raises(DeadlineExceeded, match="calling the engine"):
        await Caller(handle, "the engine").call("work", context=context(-1.0))
    assert handle.response._items == ["never"]


async def test_a_caller_that_leaves_cancels_the_call() -> None:
    handle = Handle(None)
    task = asyncio.create_task(Caller(handle, "m").call("work", context=context()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert handle.response.is_cancelled


async def test_a_closed_stream_cancels_the_call_and_an_ended_one_does_not() -> None:
    handle = Handle("a", "b")
    stream = Caller(handle, "m").stream("work", context=context())
    assert await anext(stream) == "a"
    await stream.aclose()
    assert handle.response.is_cancelled
    ended = Handle("a")
    assert [item async for item in Caller(ended, "m").stream("work", context=context())] == ["a"]
    assert not ended.response.is_cancelled


async def test_an_error_that_is_returned_is_raised() -> None:
    with pytest.raises(BadRequest, match="no"):
        await Caller(Handle(Returned(BadRequest("no", "seed"))), "m").call("work", context=context())
