"""What tells how many tokens a text has, as the model under test counts them.

Counts are of the text itself, without what a chat template or special tokens add to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class TokenCounter(Protocol):
    """Counts tokens."""

    @property
    def name(self) -> str:
        """What reports call it, such as "usage of http://host/v1/completions for tiny"."""

    @property
    def is_remote(self) -> bool:
        """Whether each text costs a request, so that few are counted."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text.

        Raises:
            BadTarget: the server it asks fails or refuses.
            CannotCount: what it answers holds no count.
        """
