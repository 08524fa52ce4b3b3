"""How texts are asked for: by how many callers, and how many in a call."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """`32x1` is 32 callers who each send one text after the other; `1x64` one caller of lists of 64."""

    num_callers: int
    list_size: int

    @classmethod
    def parse(cls, text: str) -> Case:
        """From `32x1`.

        Raises:
            ValueError: it is not two numbers above 0.
        """
        callers, _, size = text.partition("x")
        case = cls(int(callers), int(size))
        if min(case.num_callers, case.list_size) < 1:
            raise ValueError(f"{text} has a number below 1")
        return case

    def __str__(self) -> str:
        return f"{self.num_callers}x{self.list_size}"


CASES = (Case(1, 1), Case(1, 64), Case(32, 1), Case(32, 64))
