"""What a trace is once it is read, and what every format of one is.

Knows nothing of files or formats; `trace_file` reads lines, the others make requests of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, NamedTuple

import msgspec

# Beyond these a number is a mistake in the file: no model reads so much, and no trace is so long.
MAX_TOKENS = 10_000_000
MAX_AT_S = 1e11  # 3,000 years: seconds since 1970 are fine, milliseconds taken for seconds are not

NumTokens = Annotated[int, msgspec.Meta(ge=1, le=MAX_TOKENS)]


class Blocks(NamedTuple):
    """The blocks of a prompt, in their order: two prompts with the same id have the same text there.

    All but the last have `size` tokens; the last has the rest of the prompt.
    """

    ids: tuple[int, ...]
    size: int


class TraceRequest(NamedTuple):
    """One request of a trace.

    Args:
        at_s: as the trace counts; only differences mean something.
        num_prompt_tokens, num_output_tokens: at least 1.
        blocks: what the prompt shares with others, where the trace says so.
        session: the conversation that it belongs to. Each prompt begins with the one before it in the
            same conversation, as far as it is as long.
    """

    at_s: float
    num_prompt_tokens: int
    num_output_tokens: int
    blocks: Blocks | None = None
    session: str | None = None


class LineFault(Exception):
    """What is wrong with a line, without the file and the number, which the reader knows."""


# One line -> its request, or None for one that is not replayed. Raises LineFault.
ReadLine = Callable[[str], TraceRequest | None]


class Format(NamedTuple):
    """A trace's format.

    Args:
        is_mine: whether a first line is of this format.
        open: the first line -> how lines are read, and whether the first is a header and no request.
            Raises LineFault if it is not of this format.
        arrival_field: what the arrival is called.
        sort_command: sorts such a file by arrival.
    """

    name: str
    is_mine: Callable[[str], bool]
    open: Callable[[str], tuple[ReadLine, bool]]
    arrival_field: str
    sort_command: str


def check_blocks(ids: list[int], num_prompt_tokens: int, size: int) -> Blocks:
    """The blocks of a prompt.

    Raises:
        LineFault: there are more or fewer than the prompt has; another block size, most likely.
    """
    needed = -(-num_prompt_tokens // size)
    if len(ids) != needed:
        raise LineFault(
            f"{len(ids)} hash_ids for {num_prompt_tokens} tokens, which are {needed} blocks of {size}"
        )
    return Blocks(tuple(ids), size)
