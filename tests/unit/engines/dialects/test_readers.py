"""Readers of answers: wherever an answer is cut into pieces, its parts are the same."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.engines.base import TextChunk, Tool, ToolUse
from serve_app.engines.dialects.answers import AnswerReader
from serve_app.engines.dialects.base import Dialect
from serve_app.engines.dialects.hermes import Hermes
from serve_app.engines.dialects.llama3 import Llama3
from serve_app.engines.dialects.reasoning import Thinking, thinking_after

USE = ToolUse((Tool("get_weather", {"type": "object"}, {}), Tool("now", {"type": "object"}, {})))
Parts = tuple[str, str, list[tuple[str, str]], str | None]


def read(pieces: list[str], dialect: Dialect | None, thinking: Thinking, finish: str = "stop") -> Parts:
    """(reasoning, text, calls, finish reason) of an answer that comes in these pieces."""
    reader = AnswerReader(thinking, dialect.reader(USE) if dialect else None)
    chunks = [TextChunk(piece) for piece in pieces] + [TextChunk("", finish)]  # type: ignore[arg-type]
    made = [reader.read(chunk) for chunk in chunks]
    calls = [call for chunk in made for call in chunk.tool_calls]
    assert len({call.id for call in calls}) == len(calls)
    return (
        "".join(chunk.reasoning for chunk in made),
        "".join(chunk.text for chunk in made),
        [(call.name, call.arguments) for call in calls],
        made[-1].finish_reason,
    )


def cut(text: str, places: list[int]) -> list[str]:
    bounds = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[start:end] for start, end in pairwise(bounds)]


PARIS = '{"city": "Paris </tool_call> {\\"name\\": \\"x\\"}"}'
HERMES_CALL = f'<tool_call>\n{{"name": "get_weather", "arguments": {PARIS}}}\n</tool_call>'
HERMES = {
    "text": ("Hello < <tool> you ", ("", "Hello < <tool> you ", [], "stop")),
    "one": (HERMES_CALL, ("", "", [("get_weather", PARIS)], "tool_calls")),
    "text, two": (
        f'Let me see.\n{HERMES_CALL}\n<tool_call>{{"name":"now","arguments":{{}}}}</tool_call>\n',
        ("", "Let me see.", [("get_weather", PARIS), ("now", "{}")], "tool_calls"),
    ),
    "text after": (f"{HERMES_CALL}\nDone.", ("", "\nDone.", [("get_weather", PARIS)], "tool_calls")),
    "cut": ('<tool_call>\n{"name": "now", "arg', ("", '<tool_call>\n{"name": "now", "arg', [], "stop")),
    "cut after the arguments": (
        '<tool_call>\n{"name": "now", "arguments": {}}\n</tool',
        ("", "", [("now", "{}")], "tool_calls"),
    ),
    "unknown": (
        '<tool_call>{"name": "rm", "arguments": {}}</tool_call>',
        ("", '<tool_call>{"name": "rm", "arguments": {}}</tool_call>', [], "stop"),
    ),
}
LLAMA3_CALL = '{"name": "get_weather", "parameters": {"city": "Paris", "days": 1.50}}'
LLAMA3_PARTS: Parts = ("", "", [("get_weather", '{"city": "Paris", "days": 1.50}')], "tool_calls")
LLAMA3 = {
    "text": ("It is { sunny }", ("", "It is { sunny }", [], "stop")),
    "other JSON": ('{"names": 1}', ("", '{"names": 1}', [], "stop")),
    "blanks": (" \n ", ("", " \n ", [], "stop")),
    "call": (LLAMA3_CALL, LLAMA3_PARTS),
    "call with blanks": ("\n" + LLAMA3_CALL + "\n", LLAMA3_PARTS),
    "tag": ("<|python_tag|>" + LLAMA3_CALL, LLAMA3_PARTS),
    "cut": (LLAMA3_CALL[:-1], ("", LLAMA3_CALL[:-1], [], "stop")),
    "two": (f"{LLAMA3_CALL}; {LLAMA3_CALL}", ("", f"{LLAMA3_CALL}; {LLAMA3_CALL}", [], "stop")),
    "nothing": ("", ("", "", [], "stop")),
}


@pytest.mark.parametrize("case", HERMES)
@given(st.lists(st.integers(0, 10_000), max_size=60))
def test_hermes(case: str, places: list[int]) -> None:
    text, parts = HERMES[case]
    assert read(cut(text, places), Hermes(), Thinking.NEVER) == parts


@pytest.mark.parametrize("case", LLAMA3)
@given(st.lists(st.integers(0, 10_000), max_size=60))
def test_llama3(case: str, places: list[int]) -> None:
    text, parts = LLAMA3[case]
    assert read(cut(text, places), Llama3(), Thinking.NEVER) == parts


THOUGHTS = {
    "block": (
        Thinking.POSSIBLE,
        "<think>\nHm < </ so\n\n</think>\n\nYes </think>",
        ("Hm < </ so", "Yes </think>"),
    ),
    "none": (Thinking.POSSIBLE, " \n<thinking> is hard", ("", " \n<thinking> is hard")),
    "empty": (Thinking.POSSIBLE, "<think>\n\n</think>\n\nYes ", ("", "Yes ")),
    "open": (Thinking.OPEN, "\nHm\n</think>\nYes", ("Hm", "Yes")),
    "cut": (Thinking.OPEN, "Hm, then </thi", ("Hm, then </thi", "")),
    "blank": (Thinking.POSSIBLE, " <thi", ("", " <thi")),
    "off": (Thinking.NEVER, "<think>Hm</think> Yes", ("", "<think>Hm</think> Yes")),
}


@pytest.mark.parametrize("case", THOUGHTS)
@given(st.lists(st.integers(0, 10_000), max_size=60))
def test_thoughts(case: str, places: list[int]) -> None:
    thinking, text, parts = THOUGHTS[case]
    assert read(cut(text, places), None, thinking)[:2] == parts


@given(st.lists(st.integers(0, 10_000), max_size=60))
def test_calls_in_thoughts_are_thoughts(places: list[int]) -> None:
    text = f"<think>{HERMES_CALL}</think>\n{HERMES_CALL}"
    parts = (HERMES_CALL, "", [("get_weather", PARIS)], "tool_calls")
    assert read(cut(text, places), Hermes(), Thinking.POSSIBLE) == parts


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=8),
    st.booleans(),
    st.lists(st.integers(0, 10_000), max_size=30),
)
def test_arguments_come_back_as_they_were_written(value: object, is_ascii: bool, places: list[int]) -> None:
    arguments = json.dumps({"value": value}, ensure_ascii=is_ascii)
    hermes = f'<tool_call>\n{{"name": "now", "arguments": {arguments}}}\n</tool_call>'
    assert read(cut(hermes, places), Hermes(), Thinking.NEVER)[2] == [("now", arguments)]
    llama3 = f'{{"name": "now", "parameters": {arguments}}}'
    assert read(cut(llama3, places), Llama3(), Thinking.NEVER)[2] == [("now", arguments)]


def test_text_leaves_as_soon_as_it_is_clear() -> None:
    reader = AnswerReader(Thinking.POSSIBLE, Hermes().reader(USE))
    pieces = ["Let", " me ", "see <", "b>", "\n<tool", "_call>"]
    assert [reader.read(TextChunk(piece)).text for piece in pieces] == ["Let", " me", " see", " <b>", "", ""]


def test_an_answer_that_was_cut_stays_cut() -> None:
    assert read([HERMES_CALL], Hermes(), Thinking.NEVER, "length")[3] == "length"


def test_the_prompt_says_whether_the_block_is_open() -> None:
    assert thinking_after("<assistant><think>\n") is Thinking.OPEN
    assert thinking_after("<assistant><think>\n\n</think>\n\n") is Thinking.POSSIBLE
