"""What a connection needs to know of its streams."""

from __future__ import annotations

from typing import Protocol


class Sends(Protocol):
    """A stream that is being sent. `pending` and `is_first` belong to the connection."""

    id: int
    pending: list[bytes]
    is_first: bool

    def grant(self, num_bytes: int) -> None: ...

    def reset(self, reason: str) -> None: ...
