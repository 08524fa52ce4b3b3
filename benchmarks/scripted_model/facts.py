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


def guess(answer: str) -> str:
    """The question that an answer seems to answer."""
    claimed = facts(answer)
    return question(claimed[0].attribute, claimed[0].entity) if claimed else "What is it?"


def sentences(text: str) -> list[str]:
    """Without the numbers of passages."""
    found = re.split(r"(?<=[.!?])\s+", re.sub(r"\s*\[\d+\]", "", text))
    return [one for one in found if one.strip()]


def is_supported(statement: str, context: str) -> bool:
    """Whether the context says every fact of a statement, which has one at least."""
    claimed, known = facts(statement), set(facts(context))
    return bool(claimed) and all(fact in known for fact in claimed)


def rating(asking: str, context: str) -> int:
    """2 if the context answers the question, else 0."""
    wanted = asked(asking)
    return 2 if any((fact.attribute, fact.entity) == wanted for fact in facts(context)) else 0
