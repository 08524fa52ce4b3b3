"""What a grammar promises: the toy model says silly things, and all of them have the form that was asked for."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from configs.schema import FileWeights, LlamaCppModel, ScalingConfig
from serve_app.engines.llamacpp.chat import open_llamacpp_chat
from serve_app.engines.text_edge import TextEdge
from serve_app.errors import BadRequest
from serve_app.messages import Endpoint, JsonObject, RequestContext

PROMPT = "Once upon a time, there was a little girl named Lily."


@pytest.fixture
async def engine(stories_gguf: Path, tmp_path: Path) -> AsyncIterator[TextEdge]:
    config = LlamaCppModel(
        name="stories",
        engine="llamacpp",
        weights=FileWeights(path=str(stories_gguf)),
        context_tokens=512,
        scaling=ScalingConfig(max_ongoing_requests=64),
    )
    opened = TextEdge(open_llamacpp_chat(config, tmp_path, 1))
    yield opened
    await opened.close()


def body(schema: JsonObject | None, **fields: Any) -> JsonObject:
    wanted: JsonObject = {
        "type": "json_schema",
        "json_schema": {"name": "x", "schema": schema, "strict": True},
    }
    if schema is None:
        wanted = {"type": "json_object"}
    return {"model": "m", "prompt": PROMPT, "max_tokens": 200, "response_format": wanted} | fields


async def choice(engine: TextEdge, asked: JsonObject, context: RequestContext) -> Any:
    return json.loads(await engine.respond(Endpoint.COMPLETIONS, asked, context))["choices"][0]


def an_object(**properties: JsonObject) -> JsonObject:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


SCHEMAS: dict[str, tuple[JsonObject, Callable[[Any], bool]]] = {
    "bounds": (
        an_object(
            a={"type": "integer", "minimum": 7, "maximum": 23},
            b={"type": "integer", "exclusiveMaximum": -1, "minimum": -9},
        ),
        lambda made: 7 <= made["a"] <= 23 and -9 <= made["b"] < -1,
    ),
    "strings": (
        an_object(
            long={"type": "string", "minLength": 30, "maxLength": 40},
            digits={"type": "string", "pattern": "^[0-9]{4}$"},
        ),
        lambda made: 30 <= len(made["long"]) <= 40 and made["digits"].isdigit() and len(made["digits"]) == 4,
    ),
    "enums": (
        an_object(color={"enum": ["red", "green", 3, None]}, kind={"const": "story"}),
        lambda made: made["color"] in ("red", "green", 3, None) and made["kind"] == "story",
    ),
    "lists": (
        an_object(items={"type": "array", "minItems": 2, "maxItems": 3, "items": {"type": "boolean"}}),
        lambda made: 2 <= len(made["items"]) <= 3 and set(made["items"]) <= {True, False},
    ),
    "choices": (
        an_object(
            one={
                "anyOf": [
                    {"type": "integer", "multipleOf": 5, "minimum": 0, "maximum": 100},
                    {"type": "null"},
                ]
            }
        ),
        lambda made: made["one"] is None or made["one"] % 5 == 0,
    ),
    "references": (
        {
            "$defs": {"leaf": an_object(n={"type": "integer", "minimum": 0, "maximum": 9})},
            **an_object(left={"$ref": "#/$defs/leaf"}, right={"$ref": "#/$defs/leaf"}),
        },
        lambda made: {*made} == {"left", "right"} and 0 <= made["left"]["n"] <= 9,
    ),
    "no object": ({"type": "string", "maxLength": 5}, lambda made: isinstance(made, str) and len(made) <= 5),
}


@pytest.mark.parametrize("name", SCHEMAS)
async def test_a_schema_is_kept(engine: TextEdge, name: str, context: RequestContext) -> None:
    schema, is_right = SCHEMAS[name]
    for sampling in ({"temperature": 0}, {"temperature": 2, "seed": 1}, {"temperature": 2, "seed": 2}):
        made = await choice(engine, body(schema, **sampling), context)
        assert made["finish_reason"] == "stop"
        value = json.loads(made["text"])
        assert is_right(value), value
        if schema.get("type") == "object":
            assert set(value) == set(schema["required"])


async def test_strings_have_no_raw_control_characters(engine: TextEdge, context: RequestContext) -> None:
    """Line breaks are what the model would like best here, and JSON wants them escaped."""
    newline = engine._generator._model.tokenize("\n", add_special=False, parse_special=False)[-1]  # type: ignore[attr-defined]
    schema = an_object(text={"type": "string", "minLength": 20, "maxLength": 60})
    for seed in range(4):
        asked = body(schema, temperature=2, seed=seed, logit_bias={str(newline): 100})
        made = await choice(engine, asked, context)
        text = json.loads(made["text"])["text"]  # Python's parser refuses raw ones
        assert made["finish_reason"] == "stop"
        assert 20 <= len(text) <= 60


async def test_any_object_will_do(engine: TextEdge, context: RequestContext) -> None:
    made = [await choice(engine, body(None, temperature=1, seed=seed), context) for seed in range(6)]
    assert all(one["text"].startswith("{") for one in made)
    whole = [json.loads(one["text"]) for one in made if one["finish_reason"] == "stop"]
    assert all(isinstance(one, dict) for one in whole)


async def test_what_max_tokens_cuts_says_so(engine: TextEdge, context: RequestContext) -> None:
    schema = an_object(text={"type": "string", "minLength": 30})
    made = await choice(engine, body(schema, max_tokens=5, temperature=0), context)
    assert made["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "object", "unevaluatedProperties": False}, "unevaluatedProperties"),
        ({"type": "string", "format": "klingon"}, "klingon"),
        ({"type": "integer", "minimum": 5, "maximum": 4}, "minimum"),
        ({"type": "strin"}, "strin"),
        ({"$ref": "#/$defs/missing"}, "missing"),
        ({"type": "string", "pattern": "(?=x)"}, "look"),
        ({"not": {"type": "string"}}, "not"),
        ({"type": "string", "minLength": 9, "maxLength": 3}, "minLength"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
    ],
)
async def test_a_schema_that_cannot_be_kept_is_refused_by_its_keyword(
    engine: TextEdge, schema: JsonObject, words: str, context: RequestContext
) -> None:
    with pytest.raises(BadRequest) as caught:
        await choice(engine, body(schema), context)
    assert caught.value.param == "response_format"
    assert words in caught.value.message
    assert "\n" not in caught.value.message


def nested(depth: int) -> JsonObject:
    schema: JsonObject = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


HOSTILE: dict[str, JsonObject] = {
    "long": {"enum": ["x" * 200_000]},
    "deep": nested(500),
    "a repetition of repetitions": {
        "type": "string",
        "pattern": "^((((a|b){1,100}c){1,100}d){1,100}e){1,100}$",
    },
    "a look back": {"type": "string", "pattern": "^.*a.{400}$"},
    "itself": {"$ref": "#"},
    "huge lengths": {"type": "string", "minLength": 2_000_000_000, "maxLength": 2_000_000_001},
    "huge lists": {"type": "array", "minItems": 100_000_000, "items": {"type": "integer"}},
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_schemas_are_refused_or_harmless(
    engine: TextEdge, name: str, context: RequestContext
) -> None:
    """Whatever becomes of them: the engine serves the next one, and thinks no worse of itself."""
    with contextlib.suppress(BadRequest):
        await choice(engine, body(HOSTILE[name], max_tokens=20), context)
    await engine.check_health()
    assert (await choice(engine, body({"type": "boolean"}), context))["text"] in ("true", "false")


async def test_held_and_free_texts_do_not_notice_each_other(
    engine: TextEdge, context: RequestContext
) -> None:
    schema = SCHEMAS["bounds"][0]
    asked = [
        body(schema, temperature=0),
        body(schema, temperature=1, seed=5),
        {"model": "m", "prompt": PROMPT, "max_tokens": 40, "temperature": 0},
        {"model": "m", "prompt": PROMPT, "max_tokens": 40, "temperature": 1, "seed": 5},
    ]
    alone = [(await choice(engine, one, context))["text"] for one in asked]
    together = await asyncio.gather(*(choice(engine, one, context) for one in asked * 4))
    assert [one["text"] for one in together] == alone * 4


async def test_min_tokens_and_ignore_eos_do_not_break_a_document(
    engine: TextEdge, context: RequestContext
) -> None:
    made = await choice(engine, body({"type": "boolean"}, min_tokens=50, ignore_eos=True), context)
    assert made["text"] in ("true", "false")
    assert made["finish_reason"] == "stop"
