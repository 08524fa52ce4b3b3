"""Traces of our own: one JSON object a line, for what the public formats do not say.

- `at_s`: arrival in seconds, in order.
- `prompt_tokens`, `output_tokens`: at least 1.
- `hash_ids` (optional): what prompts share, block by block: the same id stands for the same text. There
  is one for every `block_tokens` tokens of the prompt, and the last block may be shorter.
- `block_tokens` (optional): 512 unless it says otherwise.
- `session` (optional): name of a conversation. Each prompt begins with the one before it in the same
  session, as far as it is as long. Not together with `hash_ids`, which say it already.

Other keys are errors: a misspelt optional one would change what is measured.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from benchmarks.traces.base import (
    MAX_AT_S,
    Format,
    LineFault,
    NumTokens,
    ReadLine,
    TraceRequest,
    check_blocks,
)
from benchmarks.traces.jsonl import decode, has_keys


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    at_s: Annotated[float, msgspec.Meta(ge=0, le=MAX_AT_S)]
    prompt_tokens: NumTokens
    output_tokens: NumTokens
    hash_ids: list[int] | None = None
    block_tokens: NumTokens = 512
    session: Annotated[str, msgspec.Meta(min_length=1)] | None = None


_DECODER = msgspec.json.Decoder(_Line)


def _read(line: str) -> TraceRequest:
    found = decode(_DECODER, line)
    if found.hash_ids is not None and found.session is not None:
        raise LineFault("both hash_ids and session say what the prompt shares; give one of them")
    blocks = None
    if found.hash_ids is not None:
        blocks = check_blocks(found.hash_ids, found.prompt_tokens, found.block_tokens)
    return TraceRequest(found.at_s, found.prompt_tokens, found.output_tokens, blocks, found.session)


def _open(first_line: str) -> tuple[ReadLine, bool]:
    return _read, False


MANTA = Format(
    name="manta",
    is_mine=lambda line: has_keys(line, "at_s"),
    open=_open,
    arrival_field="at_s",
    sort_command="jq -cs 'sort_by(.at_s)[]'",
)
