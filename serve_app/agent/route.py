"""What kind of question it is, by rules. A question that no rule knows is one for the documents."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Route(StrEnum):
    """Where a question goes."""

    CHITCHAT = "chitchat"
    KB = "kb"
    FRESH = "fresh"  # about what is new: the web first
    TASK = "task"  # something to be done, with tools: an agent that the configuration names
    REFUSE = "refuse"  # only a helper says so; no rule does


DEFAULT = "default"  # the reason where no rule knew the question


@dataclass(frozen=True, slots=True)
class Routing:
    """The route, and the rule that chose it."""

    route: Route
    reason: str


# Only whole questions count: "hello, how do I ingest a folder?" is one for the documents.
_GREETING = re.compile(
    r"(?:hi|hiya|hello|hey|howdy|greetings|good (?:morning|afternoon|evening|day)|yo|hallo|guten (?:tag|morgen|abend)"
    r"|moin|servus|bonjour|salut|hola|buenos d[ií]as|ciao|salve|ol[áa]|hej|namaste|你好|こんにちは|안녕하세요)"
    r"(?: (?:there|all|everyone|manta|team))?"
)
_COURTESY = re.compile(
    r"(?:thanks?(?: you)?(?: (?:very|so) much| a lot)?|thx|cheers|danke(?: sch[öo]n)?|merci|gracias|grazie|obrigad[oa]"
    r"|(?:good)?bye|see you|ciao|tsch[üu]ss|ok(?:ay)?|great|nice|cool|perfect|got it)"
)
_ABOUT_SELF = re.compile(
    r"(?:who|what) are you|what(?: can|'s| is) you(?:r name)?(?: do)?|what can you do(?: for me)?"
    r"|how are you(?: doing)?|what(?:'s| is) your name|help|can you help me|are you (?:a bot|an ai|human|real)"
)
# What only the web can know. "The latest version" may well stand in the documents, and is not here.
_FRESH = re.compile(
    r"\b(?:today|tonight|yesterday|right now|this (?:week|month|morning)|breaking news|news (?:about|on|of)|latest news"
    r"|in the news|stock price|weather|heute|gestern|diese woche|nachrichten|aujourd'hui|hier|cette semaine|hoy|ayer"
    r"|esta semana|noticias)\b"
)
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")

HELP_TEXT = (
    "I answer questions from the ingested documents and cite the passages that the answers rest on."
    " Ask me something that they may cover; `manta ingest PATH...` adds documents."
)


def route(question: str, *, has_web: bool = False, task_words: tuple[str, ...] = ()) -> Routing:
    """The route by rules alone. Without a web to search, what is new is a question for the documents, too.

    Args:
        task_words: words or phrases that make it a task.
    """
    words = _EDGES.sub("", " ".join(question.lower().split()))
    parts = [part for part in re.split(r"[,.!?;]\s*", words) if part]
    if not parts:
        return Routing(Route.CHITCHAT, "no_words")
    for reason, pattern in (("greeting", _GREETING), ("courtesy", _COURTESY), ("about_self", _ABOUT_SELF)):
        if pattern.fullmatch(parts[-1]) and all(_is_small_talk(part) for part in parts):
            return Routing(Route.CHITCHAT, reason)
    for phrase in task_words:
        if re.search(rf"(?<!\w){re.escape(' '.join(phrase.lower().split()))}(?!\w)", words):
            return Routing(Route.TASK, f"task_word:{phrase}")
    if has_web and (found := _FRESH.search(words)):
        return Routing(Route.FRESH, f"time_word:{found.group()}")
    return Routing(Route.KB, DEFAULT)


def _is_small_talk(part: str) -> bool:
    return any(pattern.fullmatch(part) for pattern in (_GREETING, _COURTESY, _ABOUT_SELF))
