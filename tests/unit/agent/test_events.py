from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serve_app.agent.events import DELTA, decode_events, encode_event
from serve_app.messages import AgentEvent, JsonObject

TEXTS = st.text(max_size=5)
EVENTS = st.one_of(
    st.builds(lambda text: AgentEvent(DELTA, {"text": text}), TEXTS),
    st.builds(lambda text: AgentEvent("evaluation", {"judge": None, "note": text}), TEXTS),
)


def one_text(events: list[AgentEvent]) -> list[tuple[str, JsonObject]]:
    """With texts that follow each other as one."""
    found: list[tuple[str, JsonObject]] = []
    for event in events:
        if event.type == DELTA and found and found[-1][0] == DELTA:
            found[-1] = (DELTA, {"text": found[-1][1]["text"] + event.data["text"]})
        else:
            found.append((event.type, event.data))
    return found


@given(st.lists(EVENTS, max_size=8))
def test_events_arrive_in_their_order_with_neighbouring_texts_as_one(events: list[AgentEvent]) -> None:
    decoded = list(decode_events(b"".join(map(encode_event, events))))
    assert [(event.type, event.data) for event in decoded] == one_text(events)
