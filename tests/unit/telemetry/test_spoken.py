from __future__ import annotations

import json

from serve_app.openai_api.responses import DONE, TextShape, usage
from serve_app.telemetry.spoken import Spoken, input_messages

SHAPE = TextShape("id", "m", 0, is_chat=True)


def test_a_stream_tells_its_counts_and_its_end_and_keeps_no_text() -> None:
    spoken = Spoken()
    spoken.see(SHAPE.opening() + SHAPE.delta('"usage":{"prompt_tokens":999} '))
    spoken.see(SHAPE.delta("a secret"))
    assert not spoken.is_over
    spoken.see(SHAPE.finish("length") + SHAPE.counts(usage(7, 3, 2)) + DONE)
    assert spoken.is_over
    assert spoken.attributes() == {
        "gen_ai.response.model": "m",
        "gen_ai.response.finish_reasons": ["length"],
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.usage.cache_read.input_tokens": 2,
    }
    assert "secret" not in spoken.output_messages()


def test_what_is_not_told_is_not_there() -> None:
    spoken = Spoken()
    spoken.see(b"data: no json\n\n" + SHAPE.finish("stop") + DONE)
    assert "gen_ai.usage.input_tokens" not in spoken.attributes()
    assert Spoken.of_document(b"[1]").attributes() == {}
    assert Spoken.of_document(b"\xff").attributes() == {}


def test_texts_are_kept_where_they_are_asked_for() -> None:
    spoken = Spoken(keeps_text=True)
    for text in ("rays ", "glide"):
        spoken.see(SHAPE.delta(text))
    assert json.loads(spoken.output_messages())[0]["parts"] == [{"type": "text", "content": "rays glide"}]


def test_requests_are_told_in_the_conventions_shape() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image_url"}]
    body = {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": parts}]}
    assert [(one["role"], one["parts"][0]["content"]) for one in json.loads(input_messages(body))] == [
        ("system", "s"),
        ("user", "a"),
    ]
    assert json.loads(input_messages({"prompt": "p"}))[0]["parts"][0]["content"] == "p"
    assert json.loads(input_messages({"messages": "x"})) == []
