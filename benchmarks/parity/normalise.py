"""An answer in the form in which two are compared: what may differ from call to call is put in order or out.

What may: random ids (their shape stays: `chatcmpl-*`), times, and how a stream was cut into events. Servers send what
has gathered when they come to it, so two streams of one text differ in their cuts; the pieces of each choice, tool call
and output item are joined, and everything else that events say is kept beside: which fields they have, in which order
those of a choice begin, where usage stands, and the last `[DONE]`.
"""

from __future__ import annotations

import re
from typing import Any

from benchmarks.parity.ask import Answer

# chatcmpl-0f3c..., chatcmpl-tool-0f3c..., call_Ab12..., resp_0f3c...: a word that says of what, and chance.
_RANDOM_ID = re.compile(r"([A-Za-z]+(?:-tool)?[-_])?(?:[0-9a-f]{8}[0-9a-f-]*|(?=[A-Za-z]*\d)[0-9A-Za-z]{9,})")
_ID_KEYS = frozenset({"id", "item_id", "response_id", "call_id", "request_id"})
_TIME_KEYS = frozenset({"created", "created_at", "completed_at"})
# Pieces of text that one event continues from the last.
_GROWING = frozenset(
    {
        "content",
        "reasoning_content",
        "reasoning",
        "text",
        "arguments",
        "refusal",
        "thinking",
        "partial_json",
        "delta",
    }
)
_ENDS = frozenset({"finish_reason", "stop_reason"})  # may come with the last piece or after it
_CUT_DEPENDENT = frozenset({"sequence_number"})


def normalised(answer: Answer) -> dict[str, Any]:
    """Status, media type and body, ready to be compared field by field."""
    form: dict[str, Any] = {"status": answer.status, "media_type": answer.media_type}
    if answer.events is not None:
        form["stream"] = _stream(answer)
    elif answer.text is not None:
        form["text"] = answer.text
    else:
        form["body"] = _plain(answer.document)
    return form


def _stream(answer: Answer) -> dict[str, Any]:
    events = [(name, _plain(event)) for name, event in answer.events or ()]
    form: dict[str, Any] = {"ends_with_done": answer.ends_with_done}
    if answer.text is not None:
        form["fault"] = answer.text
    if any(isinstance(event, dict) and "choices" in event for _, event in events):
        return form | _chunks([event for _, event in events])
    return form | {"events": _joined(events)}


def _chunks(events: list[Any]) -> dict[str, Any]:
    """Of /v1/chat/completions and /v1/completions: index -> the choice, joined; and what is around the choices."""
    choices: dict[str, Any] = {}
    begins: dict[str, list[str]] = {}  # index -> fields of the choice, as they first have something to say
    around: dict[
        str, list[Any]
    ] = {}  # field beside the choices -> its values, each once, in whichever events
    usage: Any = None
    for event in events:
        if not isinstance(event, dict) or "choices" not in event:
            _note(around, {"other events": event})
            continue
        _note(around, {key: value for key, value in event.items() if key not in ("choices", "usage")})
        _note(around, {"usage is": "absent" if "usage" not in event else type(event["usage"]).__name__})
        _note(around, {"choices are": "none" if not event["choices"] else "there"})
        usage = event.get("usage") or usage
        for choice in event["choices"]:
            index = str(choice.get("index"))
            _grow(choices.setdefault(index, {}), choice)
            said = begins.setdefault(index, [])
            said += sorted(_said(choice) - set(said), key=lambda name: (name in _ENDS, name))
    last = events[-1] if events else {}
    return {
        "choices": choices,
        "begins": begins,
        "around": {key: sorted(values, key=repr) for key, values in around.items()},
        "usage": usage,
        "usage is last": isinstance(last, dict) and bool(last.get("usage")),
    }


def _note(around: dict[str, list[Any]], fields: dict[str, Any]) -> None:
    for key, value in fields.items():
        values = around.setdefault(key, [])
        if value not in values:
            values.append(value)


def _said(choice: dict[str, Any]) -> set[str]:
    """Fields that have something to say, those of `delta` included."""
    fields = {key: value for key, value in choice.items() if key not in ("index", "delta")} | choice.get(
        "delta", {}
    )
    return {key for key, value in fields.items() if value not in (None, "", [], {})}


def _grow(into: dict[str, Any], piece: dict[str, Any]) -> None:
    """Continue `into` by what a later event says of the same thing."""
    for key, value in piece.items():
        old = into.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            _grow(old, value)
        elif isinstance(value, list) and key == "tool_calls":
            calls = into[key] = into.get(key) or {}
            for call in value:
                _grow(calls.setdefault(str(call.get("index")), {}), call)
        elif _continues(key, old, value):
            into[key] = old + value
        elif isinstance(value, dict):
            into[key] = {}
            _grow(into[key], value)
        elif value is not None or key not in into:
            into[key] = value


def _continues(key: str, old: Any, value: Any) -> bool:
    if isinstance(value, list):
        return isinstance(old, list)
    return key in _GROWING and isinstance(value, str) and isinstance(old, str)


def _joined(events: list[tuple[str, Any]]) -> list[Any]:
    """Of /v1/responses and /v1/messages: consecutive deltas of one thing are one."""
    joined: list[Any] = []
    previous: dict[str, Any] | None = None
    for name, event in events:
        if not isinstance(event, dict):
            joined.append({"event": name, "data": event})
            previous = None
            continue
        kept = {key: value for key, value in event.items() if key not in _CUT_DEPENDENT}
        is_delta = "delta" in str(event.get("type", "")) and "delta" in event
        if is_delta and previous is not None and _same_thing(previous["data"], kept):
            _grow(previous["data"], kept)
            continue
        entry = {"event": name, "data": kept}
        joined.append(entry)
        previous = entry if is_delta else None
    return joined


def _same_thing(a: dict[str, Any], b: dict[str, Any]) -> bool:
    keys = ("type", "item_id", "output_index", "content_index", "index")
    return all(a.get(key) == b.get(key) for key in keys)


def _plain(value: Any, key: str = "") -> Any:
    """Random ids by their shape, times by their type."""
    if isinstance(value, dict):
        return {name: _plain(part, name) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if key in _ID_KEYS and isinstance(value, str):
        match = _RANDOM_ID.fullmatch(value)
        return f"{match[1] or ''}*" if match else value
    if key in _TIME_KEYS and isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"<time, {type(value).__name__}>"
    return value
