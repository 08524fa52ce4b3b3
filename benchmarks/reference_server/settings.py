"""What the server is told when it starts: its timing, its limits, where it writes.

Knows nothing of flags; `__main__` reads those.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """One server. Times are what the server aims at; its log says what it did.

    Args:
        port: of loopback; 0 picks a free one.
        model: what /v1/models lists. Requests may name any other.
        ttft_ms: from the complete request to its first token, without prefill and extra.
        tpot_ms: from each token to the next.
        output_tokens: tokens of an answer whose request has no max_tokens.
        jitter: coefficient of variation of every delay; 0: none.
        seed: of the jitter. The same seed gives the same delays in the order in which requests come.
        prefill_us_per_token: added to the first token's delay for every token of the prompt.
        extra_ttft_ms: added to every first token's delay, never jittered.
        max_concurrent: answers that run at a time, in each process; others wait in order. None: all run.
        num_embedding_dimensions: length of the vectors of /v1/embeddings.
        num_processes: servers that share the port; the kernel spreads connections over them.
        log_path: one JSON line a request; None: nothing is kept.
        ready_path: written with the server's URL when it listens.
        stops_with_stdin: ends when its standard input does, so that nobody has to stop it who has died.
    """

    port: int = 0
    model: str = "reference"
    ttft_ms: float = 20.0
    tpot_ms: float = 5.0
    output_tokens: int = 32
    jitter: float = 0.0
    seed: int = 1
    prefill_us_per_token: float = 0.0
    extra_ttft_ms: float = 0.0
    max_concurrent: int | None = None
    num_embedding_dimensions: int = 8
    num_processes: int = 1
    log_path: Path | None = None
    ready_path: Path | None = None
    stops_with_stdin: bool = False
