"""What the chat engine holds of its requests: for whoever looks for leaks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Held:
    """All 0 when nobody asks anything; what stays above 0 then was left behind.

    Args:
        num_requests: that count as open.
        num_jobs: handed to the engine's thread, and not done.
        num_texts: begun, and not over.
        num_busy_slots: sequences that nobody else can have.
        num_astray_slots: whose count of tokens is not llama.cpp's. Only looked at while there are no jobs: llama.cpp
            must not be asked while it computes.
        num_excess_bytes: of earlier texts that are kept, above the bound; or that are counted wrongly.
    """

    num_requests: int
    num_jobs: int
    num_texts: int
    num_busy_slots: int
    num_astray_slots: int
    num_excess_bytes: int
