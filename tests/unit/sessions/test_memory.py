from __future__ import annotations

import pytest

from serve_app.errors import Conflict, DeadlineExceeded
from serve_app.messages import Deadline, RequestContext
from serve_app.sessions.base import SessionKey
from serve_app.sessions.memory import MemorySessions

CONTEXT = RequestContext("r", "acme", Deadline.after(86_400))
TURN = {"role": "user", "content": "a"}


def key(name: str, tenant: str = "acme", user: str = "ann") -> SessionKey:
    return SessionKey(tenant, user, name)


async def test_turns_are_kept_by_tenant_user_and_session() -> None:
    store = MemorySessions()
    assert (await store.load(key("s"), CONTEXT)).turns == ()
    assert await store.append(key("s"), [TURN], 0, CONTEXT) == 1
    assert await store.append(key("s"), [TURN], 1, CONTEXT) == 2
    assert (await store.load(key("s"), CONTEXT)).turns == (TURN, TURN)
    for other in (key("t"), key("s", tenant="b"), key("s", user="bob")):
        assert (await store.load(other, CONTEXT)).version == 0


async def test_who_comes_second_is_told_and_writes_nothing() -> None:
    store = MemorySessions()
    await store.append(key("s"), [TURN], 0, CONTEXT)
    with pytest.raises(Conflict):
        await store.append(key("s"), [TURN], 0, CONTEXT)
    assert len((await store.load(key("s"), CONTEXT)).turns) == 1


async def test_the_one_written_least_recently_goes_first() -> None:
    store = MemorySessions(max_sessions=2)
    for name, version in (("a", 0), ("b", 0), ("a", 1), ("c", 0)):
        await store.append(key(name), [TURN], version, CONTEXT)
    versions = [(await store.load(key(name), CONTEXT)).version for name in "abc"]
    assert versions == [2, 0, 1]


async def test_a_deadline_in_the_past_does_nothing() -> None:
    late = RequestContext("r", "acme", Deadline.after(-1))
    with pytest.raises(DeadlineExceeded):
        await MemorySessions().append(key("s"), [TURN], 0, late)
