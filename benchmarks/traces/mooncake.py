"""Mooncake's traces (kvcache-ai/Mooncake, FAST 2025): one JSON object a line.

`timestamp` in milliseconds, `input_length` and `output_length` in tokens, and `hash_ids`: one id for
every 512 tokens of the prompt, the same id for the same text after the same text. Further keys are left
out, because traces that others made in this format have more.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from benchmarks.traces.base import MAX_AT_S, Format, NumTokens, ReadLine, TraceRequest, check_blocks
from benchmarks.traces.jsonl import decode, has_keys

BLOCK_TOKENS = 512


class _Line(msgspec.Struct):
    timestamp: Annotated[float, msgspec.Meta(ge=0, le=MAX_AT_S * 1000)]
    input_length: NumTokens
    output_length: NumTokens
    hash_ids: list[int]


_DECODER = msgspec.json.Decoder(_Line)


def _read(line: str) -> TraceRequest:
    found = decode(_DECODER, line)
    return TraceRequest(
        at_s=found.timestamp / 1000,
        num_prompt_tokens=found.input_length,
        num_output_tokens=found.output_length,
        blocks=check_blocks(found.hash_ids, found.input_length, BLOCK_TOKENS),
    )


def _open(first_line: str) -> tuple[ReadLine, bool]:
    return _read, False


MOONCAKE = Format(
    name="mooncake",
    is_mine=lambda line: has_keys(line, "timestamp", "input_length"),
    open=_open,
    arrival_field="timestamp",
    sort_command="jq -cs 'sort_by(.timestamp)[]'",
)
