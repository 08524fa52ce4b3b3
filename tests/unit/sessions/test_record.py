from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.errors import StorageFull
from serve_app.messages import JsonObject
from serve_app.sessions.base import Session
from serve_app.sessions.record import Limits, appended, compacted, decode, encode

ROLES = st.sampled_from(["user", "assistant"])
MESSAGES = st.lists(st.fixed_dictionaries({"role": ROLES, "content": st.text(max_size=40)}), max_size=4)


@given(st.lists(st.tuples(MESSAGES, st.integers(0, 9)), max_size=12), st.booleans())
def test_whatever_is_written_no_turn_is_lost_uncounted(
    writes: list[tuple[list[JsonObject], int]], drops_unsummarised: bool
) -> None:
    limits = Limits(6, 400, drops_unsummarised=drops_unsummarised)
    session, said = Session(), 0
    for at, (turns, num) in enumerate(writes):
        before = session
        try:
            session = appended(session, turns, limits, 100.0 + at)
        except StorageFull:
            continue
        said += len(turns)
        assert session.version == before.version + 1
        assert session.num_dropped + len(session.turns) == said
        assert len(session.turns) <= limits.max_messages
        assert 0 <= session.num_summarised <= len(session.turns)
        if not drops_unsummarised:
            covered = before.num_dropped + before.num_summarised
            assert session.num_dropped + session.num_summarised == covered
        assert decode(encode(session)) == session
        basis = session
        num_covered = min(len(basis.turns), basis.num_summarised + num)
        summarised = compacted(session, basis, num_covered, "short")
        assert summarised is not None
        assert summarised.turns == session.turns
        session = summarised


@pytest.mark.parametrize("document", ["[]", "{}", '{"turns": [1]}', "no", '{"turns": null}', '{"x": 1}'])
def test_what_is_no_session_is_not_believed(document: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        decode(document)
