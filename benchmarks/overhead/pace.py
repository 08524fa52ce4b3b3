"""What every server of the comparison makes, and how fast: one answer is the same whoever sends it."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass

MODEL = "mock"


@dataclass(frozen=True, slots=True)
class Pace:
    """The time of an answer's tokens, kept against the clock: a late token does not delay the next."""

    ttft_ms: float = 20.0
    tpot_ms: float = 5.0
    num_tokens: int = 32

    @property
    def answer_s(self) -> float:
        """Seconds of a whole answer when nothing is late."""
        return (self.ttft_ms + (self.num_tokens - 1) * self.tpot_ms) / 1e3

    def ideal_rps(self, num_callers: int) -> float:
        """Requests per second of a closed loop that nothing delays."""
        return num_callers / self.answer_s

    def words(self) -> list[str]:
        """As options of a command line."""
        return [word for name, value in asdict(self).items() for word in (_option(name), str(value))]

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """The options that `of` reads."""
        parser.add_argument(
            "--ttft-ms", type=float, default=cls().ttft_ms, help="to the first token (%(default)s)"
        )
        parser.add_argument("--tpot-ms", type=float, default=cls().tpot_ms, help="per token (%(default)s)")
        parser.add_argument(
            "--num-tokens", type=int, default=cls().num_tokens, help="of an answer (%(default)s)"
        )

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Pace:
        return cls(arguments.ttft_ms, arguments.tpot_ms, arguments.num_tokens)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
