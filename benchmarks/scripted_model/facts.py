"""Facts and questions in fixed words, so that a rule can tell a right answer from a wrong one."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ENTITY = r"[A-Z][\w'-]*(?: [A-Z][\w'-]*)*"
_FACT = re.compile(rf"[Tt]he ([a-z]+) of ({_ENTITY}) is ([\w ,-]+?)(?=\s*(?:\[\d+\]|[.;]|$))", re.MULTILINE)
_QUESTION = re.compile(rf"[Ww]hat is the ([a-z]+) of ({_ENTITY})")


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that a text claims."""

    attribute: str
    entity: str
    value: str

    def said(self) -> str:
        return f"The {self.attribute} of {self.entity} is {self.value}"


def facts(text: str) -> list[Fact]:
    """Every fact of a text, in its order."""
    return [Fact(*found) for found in _FACT.findall(" ".join(text.split(" ")))]


def asked(text: str) -> tuple[str, str] | None:
    """(attribute, entity) of the last question in a text; None: there is none."""
    found = _QUESTION.findall(text)
    return found[-1] if found else None


def question(attribute: str, entity: str, *, is_fresh: bool = False) -> str:
    return f"What is the {attribute} of {entity}{' today' if is_fresh else ''}?"
