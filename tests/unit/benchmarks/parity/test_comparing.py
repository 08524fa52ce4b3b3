from __future__ import annotations

import base64
import json
import struct
from collections import Counter
from typing import Any

import pytest

from benchmarks.parity.ask import Answer
from benchmarks.parity.by_design import RULES, Rule, rule_for
from benchmarks.parity.cases import Case, read_cases
from benchmarks.parity.compare import differences
from benchmarks.parity.judge import judge, summary
from benchmarks.parity.normalise import normalised
from benchmarks.parity.text import report

CASE = Case("chat-stream", "generate", "POST", "/v1/chat/completions", b"{}")


def chunk(
    delta: dict[str, Any], *, index: int = 0, finish: str | None = None, **more: Any
) -> tuple[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": finish, "logprobs": None}
    envelope = {
        "id": "chatcmpl-8f14e45fceea167a",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
    }
    return "", envelope | {"choices": [choice]} | more


def stream(*events: tuple[str, Any], done: bool = True) -> Answer:
    return Answer(200, "text/event-stream", events=events, ends_with_done=done)


def document(body: Any, status: int = 200) -> Answer:
    return Answer(status, "application/json", document=body)


ROLE = chunk({"role": "assistant", "content": ""})
END = chunk({}, finish="stop")
USAGE = ("", {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 2, "model": "m", "choices": [],
              "usage": {"completion_tokens": 3}})  # fmt: skip


def paths(theirs: Answer, ours: Answer, tolerance: float = 0.0) -> list[str]:
    return [found.path for found in differences(normalised(theirs), normalised(ours), tolerance)]


def test_ids_and_times_may_differ_and_their_shapes_may_not() -> None:
    one = {"id": "chatcmpl-8f14e45fceea167a", "created": 1763742000, "model": "m"}
    assert paths(document(one), document(one | {"id": "chatcmpl-c9f0f895fb98ab91", "created": 7})) == []
    assert paths(document(one), document(one | {"id": "cmpl-c9f0f895fb98ab91"})) == ["body.id"]
    assert paths(document(one), document(one | {"created": 7.5})) == ["body.created"]
    assert paths(document(one), document(one | {"created": None})) == ["body.created"]
    # The id of a model is its name.
    assert paths(document({"id": "chat"}), document({"id": "Chat"})) == ["body.id"]


@pytest.mark.parametrize(
    ("theirs", "ours", "path"),
    [
        ({"a": 1}, {}, "body.a"),
        ({}, {"a": None}, "body.a"),
        ({"a": 1}, {"a": "1"}, "body.a"),
        ({"a": 1}, {"a": 1.0}, "body.a"),
        ({"a": 1}, {"a": True}, "body.a"),
        ({"a": None}, {"a": ""}, "body.a"),
        ({"a": [1, 2]}, {"a": [1]}, "body.a.length"),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, "body.a.0.b"),
        ({"a": {}}, {"a": []}, "body.a"),
    ],
)
def test_every_other_field_must_be_equal(theirs: Any, ours: Any, path: str) -> None:
    assert paths(document(theirs), document(ours)) == [path]


def test_status_media_type_and_text_are_compared() -> None:
    assert paths(document({}, 400), document({}, 422)) == ["status"]
    assert paths(Answer(200, "text/plain", text="a"), Answer(200, "text/html", text="b")) == [
        "media_type",
        "text",
    ]
    assert paths(document({}), stream(ROLE, END)) == ["media_type", "body", "stream"]


def test_fractions_have_a_tolerance_and_whole_numbers_none() -> None:
    assert paths(document({"p": -0.5}), document({"p": -0.500001}), 1e-5) == []
    assert paths(document({"p": -0.5}), document({"p": -0.5001}), 1e-5) == ["body.p"]
    assert paths(document({"n": 100000}), document({"n": 100001}), 1e-2) == ["body.n"]


def test_vectors_in_base64_have_it_too() -> None:
    def vector(*values: float) -> dict[str, str]:
        return {"embedding": base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()}

    one = vector(0.1, 0.2, 0.3, 0.4)
    assert paths(document(one), document(vector(0.1, 0.2, 0.3, 0.4000001)), 1e-5) == []
    assert paths(document(one), document(vector(0.1, 0.2, 0.3, 0.41)), 1e-5) == ["body.embedding"]
    assert paths(document(one), document(vector(0.1, 0.2, 0.3)), 1e-5) == ["body.embedding"]
    assert paths(
        document({"t": "abcdefghijklmnopqrstuvwx"}), document({"t": "abcdefghijklmnopqrstuvwy"}), 1e-5
    ) == ["body.t"]


def test_how_a_stream_is_cut_is_no_difference() -> None:
    theirs = stream(ROLE, chunk({"content": "one "}), chunk({"content": "two"}), END, USAGE)
    assert paths(theirs, stream(ROLE, chunk({"content": "one two"}), END, USAGE)) == []
    assert (
        paths(
            theirs, stream(ROLE, chunk({"content": "one "}), chunk({"content": "two"}, finish="stop"), USAGE)
        )
        == []
    )


def test_pieces_of_choices_and_calls_may_interleave() -> None:
    def call(index: int, **function: str) -> dict[str, Any]:
        return {"tool_calls": [{"index": index, "function": function}]}

    a = [
        chunk(call(0, name="weather", arguments="")),
        chunk(call(0, arguments='{"city"')),
        chunk(call(0, arguments=": 1}")),
    ]
    b = [chunk({"content": "x"}, index=1), chunk({"content": "y"}, index=1)]
    assert paths(stream(*a, *b), stream(a[0], b[0], a[1], b[1], a[2])) == []
    joined = normalised(stream(*a))["stream"]["choices"]["0"]["delta"]["tool_calls"]
    assert joined == {"0": {"index": 0, "function": {"name": "weather", "arguments": '{"city": 1}'}}}


@pytest.mark.parametrize(
    ("ours", "path"),
    [
        (stream(ROLE, chunk({"content": "one"}), END, USAGE, done=False), "stream.ends_with_done"),
        (stream(ROLE, chunk({"content": "ones"}), END, USAGE), "stream.choices.0.delta.content"),
        (
            stream(ROLE, chunk({"content": "one"}), chunk({}, finish="length"), USAGE),
            "stream.choices.0.finish_reason",
        ),
        (stream(ROLE, chunk({"content": "one"}), END), "stream.around.usage is.length"),
        (stream(ROLE, chunk({"content": "one"}), USAGE, END), "stream.usage is last"),
        (stream(chunk({"content": "one"}), END, USAGE), "stream.choices.0.delta.role"),
        (stream(chunk({"content": "one"}), ROLE, END, USAGE), "stream.begins.0.0"),
        (stream(ROLE, chunk({"content": "one"}, model="other"), END, USAGE), "stream.around.model.length"),
    ],
)
def test_what_a_stream_says_must_be_equal(ours: Answer, path: str) -> None:
    theirs = stream(ROLE, chunk({"content": "one"}), END, USAGE)
    assert path in paths(theirs, ours)


def test_events_of_responses_are_joined_by_item() -> None:
    def event(kind: str, **more: Any) -> tuple[str, Any]:
        return kind, {"type": kind} | more

    def text(delta: str, number: int) -> tuple[str, Any]:
        return event(
            "response.output_text.delta", delta=delta, item_id="msg_1a2b3c4d5e", sequence_number=number
        )

    begin, end = event("response.created"), event("response.completed")
    theirs = stream(begin, text("one ", 1), text("two", 2), end, done=False)
    assert paths(theirs, stream(begin, text("one two", 1), end, done=False)) == []
    assert paths(theirs, stream(begin, text("one", 1), end, done=False)) == ["stream.events.1.data.delta"]
    assert paths(theirs, stream(begin, end, text("one two", 1), done=False)) != []


def test_what_the_bare_server_does_not_repeat_is_unstable() -> None:
    a, b = document({"text": "a"}), document({"text": "b"})
    verdict = judge(CASE, a, a, b, 0.0)
    assert verdict.outcome == "unstable"
    assert not summary([verdict], 0)["passed"]


def test_a_rule_covers_its_fields_and_no_others() -> None:
    rules = (Rule("chat-*", "body.model", "the reason"), Rule("never-*", "*", "of no case"))
    theirs, ours = document({"model": "a", "text": "x"}), document({"model": "b", "text": "x"})
    verdict = judge(CASE, theirs, ours, theirs, 0.0, rules)
    assert (verdict.outcome, [reason for _, reason in verdict.by_design]) == ("by design", ["the reason"])
    found = summary([verdict], 0, rules)
    assert (found["num_by_design"], found["parity"], found["passed"]) == (1, None, True)
    worse = judge(CASE, theirs, document({"model": "b", "text": "y"}), theirs, 0.0, rules)
    assert worse.outcome == "different"
    assert [one.path for one in worse.found] == ["body.text"]


def test_a_rule_that_covers_nothing_is_told() -> None:
    verdict = judge(CASE, document({}), document({}), document({}), 0.0)
    found = summary([verdict], 0, (Rule("chat-*", "body.model", "why"), Rule("other", "*", "not asked")))
    assert found["rules_that_cover_nothing"] == ["chat-*: body.model"]
    assert "a rule of by_design.py covers nothing: chat-*: body.model" in report([verdict], found)


def test_what_was_not_asked_is_no_parity() -> None:
    verdict = judge(CASE, document({}), document({}), document({}), 0.0)
    assert summary([verdict], 0, ())["passed"]
    found = summary([verdict], 3, ())
    assert not found["passed"]
    assert "3 requests were not asked" in report([verdict], found)


def test_the_recorded_requests() -> None:
    cases = read_cases({"$model": "writer", "$pooling_model": "pooler"})
    assert len(cases) >= 60
    assert max(Counter(case.name for case in cases).values()) == 1
    asked = {case.path for case in cases}
    assert {"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"} <= asked
    assert {"/v1/rerank", "/v1/score", "/tokenize", "/detokenize", "/v1/models"} <= asked
    bodies = [json.loads(case.content) for case in cases if case.content and case.content.startswith(b'{"model": "')
              and case.content.endswith(b"}")]  # fmt: skip
    assert {"writer", "pooler"} <= {body["model"] for body in bodies}
    choices = [body["tool_choice"] for body in bodies if "tool_choice" in body]
    assert {"auto", "none", "required"} <= {choice for choice in choices if isinstance(choice, str)}
    assert any(isinstance(choice, dict) for choice in choices)
    for field in ("stream_options", "response_format", "logprobs", "n", "stop", "seed", "frequency_penalty"):
        assert any(field in body for body in bodies), field
    assert not any(b"$" in (case.content or b"") for case in cases)


def test_every_rule_is_about_a_recorded_request() -> None:
    names = [case.name for case in read_cases({"$model": "m", "$pooling_model": "p"})]
    for rule in RULES:
        assert any(rule_for(name, "body.x", (rule,)) for name in names), rule


def test_blanks_are_forbidden_where_a_request_says_so() -> None:
    cases = {case.name: case for case in read_cases({"$model": "m"}, blanks=[7, 8])}
    strict = json.loads(cases["chat-tools-named-strict"].content or b"")
    assert strict["logit_bias"] == {"7": -100, "8": -100}
    assert b"$no_blanks" not in b"".join(case.content or b"" for case in cases.values())
