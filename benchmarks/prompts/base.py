"""What a schedule needs of prompts: text of a planned length, the same for the same keys.

Knows nothing of requests, arrivals or servers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class PromptSource(Protocol):
    """Makes the texts of a run.

    Keys carry no randomness of their own: the source mixes them with the workload's seed. So the same
    seed and the same calls give the same texts, whatever their order.
    """

    def seeded(self, seed: int) -> PromptSource:
        """The same source with another seed: the same keys give other texts, of the same lengths.

        Runs one after the other must not meet a server's prefix cache with each other's prompts.
        """

    def compose(self, parts: Sequence[tuple[str, int]]) -> str:
        """Text of exactly sum(n) tokens.

        A part (key, n) is the same text wherever it stands, e.g. ("prefix:3", 512), ("request:17", 100).
        """

    def fixed(self, path: Path, index: int) -> str:
        """Text number `index` (cycling) of a file of texts.

        Raises:
            BenchmarkError: the file is not there, or has no texts; the message names it.
        """
