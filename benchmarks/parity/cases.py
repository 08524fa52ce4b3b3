"""The recorded requests: `requests.jsonl`, one a line.

    {"name": ..., "role": "generate" | "pooling", "method": ..., "path": ..., "body": {...}}

`raw` stands for `body` where the body is to be no JSON. In a body `$model` and `$pooling_model` stand for the names of
the models that are asked, `$no_blanks` for a `logit_bias` against tokens of blanks alone, and
`{"$repeat": [TEXT, TIMES]}` for a long text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Role = Literal["generate", "pooling"]
_NEVER = -100  # the least that OpenAI's logit_bias takes
REQUESTS = Path(__file__).with_name("requests.jsonl")


@dataclass(frozen=True, slots=True)
class Case:
    """One request, as it is sent to both servers."""

    name: str
    role: Role  # of the server that is asked: a vLLM has one model, which writes or pools
    method: str
    path: str
    content: bytes | None  # None: no body


def read_cases(models: Mapping[str, str], blanks: Sequence[int] = (), path: Path = REQUESTS) -> list[Case]:
    """All requests, in the order of the file.

    Args:
        models: what `$model` and `$pooling_model` stand for.
        blanks: ids of the tokens that `$no_blanks` forbids.
        path: of the file.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    words = {**models, "$no_blanks": {str(token_id): _NEVER for token_id in blanks}}
    return [_case(json.loads(line), words) for line in lines if line]


def _case(entry: dict[str, Any], words: Mapping[str, Any]) -> Case:
    content: bytes | None = None
    if "raw" in entry:
        content = entry["raw"].encode()
    elif "body" in entry:
        content = json.dumps(_filled(entry["body"], words), ensure_ascii=False).encode()
    return Case(entry["name"], entry["role"], entry["method"], entry["path"], content)


def _filled(value: Any, words: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"$repeat"}:
            text, times = value["$repeat"]
            return text * times
        return {key: _filled(part, words) for key, part in value.items()}
    if isinstance(value, list):
        return [_filled(part, words) for part in value]
    return words.get(value, value) if isinstance(value, str) else value
