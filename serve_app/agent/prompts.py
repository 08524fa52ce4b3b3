"""What the agent says to models and, where no model answers, to people."""

from __future__ import annotations

from collections.abc import Sequence

from serve_app.errors import BadRequest
from serve_app.grounding.prompt import conversation
from serve_app.grounding.untrusted import one_line
from serve_app.messages import JsonObject

# Earlier turns share the model's context with the passages; the newest are worth most.
MAX_HISTORY_CHARS = 6000
MAX_HISTORY_TURNS = 12
_MAX_CLAIMS, _MAX_CLAIM_CHARS = 8, 240

_CHITCHAT = """\
You are an assistant that answers questions from ingested documents and cites them. \
Reply to the message in one or two short sentences, in its language. State no facts."""
_UNGROUNDED = """\
Nothing in the documents answers the question. Answer briefly from general knowledge, begin by saying \
that the answer does not come from the documents, and say so if you do not know."""

_AGAIN = """\
Your last turn lists statements of an earlier draft that no passage supports. Answer anew from the passages \
alone and repeat none of them."""

ABSTAINED = "I found no answer to this in the documents."
ABSTAINED_WITH_SOURCES = f"{ABSTAINED} The passages that come nearest are listed as sources."
KB_UNAVAILABLE = "The knowledge base cannot be read at the moment, so I cannot answer from the documents."
WITHHELD_ANSWER = (
    "I have no answer that the documents support well enough. The nearest passages are listed as sources."
)
OUT_OF_TIME = "The time was over before there was an answer."
REFUSED = "I do not help with this."
TASK_UNAVAILABLE = "The assistant for such tasks cannot be reached at the moment."
NO_MODEL = "No generative model is loaded: the answer quotes the documents. To load one: {command}"
QUOTED = "No chat model could answer, so the answer quotes the documents."


def chitchat(question: str, history: Sequence[JsonObject]) -> list[JsonObject]:
    return conversation(_CHITCHAT, history, question)


def ungrounded(question: str, history: Sequence[JsonObject]) -> list[JsonObject]:
    return conversation(_UNGROUNDED, history, question)


def again(question: str, unsupported: Sequence[str], history: Sequence[JsonObject]) -> tuple[JsonObject, ...]:
    """The earlier turns with what a draft got wrong, for a grounded prompt.

    The statements come from a model that read untrusted text, so that they stand in an assistant's turn,
    short and cleaned, and never among the instructions.
    """
    listed = [one_line(claim, _MAX_CLAIM_CHARS) for claim in unsupported[:_MAX_CLAIMS]]
    statements = "\n".join(f"- {claim}" for claim in listed if claim) or "- (all of them)"
    return (
        *history,
        {"role": "system", "content": _AGAIN},
        {"role": "user", "content": question},
        {"role": "assistant", "content": statements},
    )


def summarised(summary: str) -> JsonObject:
    """A summary of earlier turns. An assistant's turn and no instruction: a model wrote it, from what others said."""
    return {"role": "assistant", "content": f"(What we said before, in short: {summary})"}


def recent(history: Sequence[JsonObject]) -> list[JsonObject]:
    """The newest earlier turns that fit; instructions of the client's own are always among them.

    Raises:
        BadRequest: a turn that is no text of a known role; it names the field.
    """
    kept: list[JsonObject] = []
    num_chars = num_turns = 0
    for at in range(len(history) - 1, -1, -1):
        role, content = history[at].get("role"), history[at].get("content")
        if role not in ("system", "developer", "user", "assistant"):
            raise BadRequest(f"the agent takes no messages of role {role!r}", f"history.{at}.role")
        if not isinstance(content, str):
            raise BadRequest("the agent takes text only", f"history.{at}.content")
        if role in ("system", "developer"):
            kept.append({"role": role, "content": content})
            continue
        num_chars, num_turns = num_chars + len(content), num_turns + 1
        if content and num_chars <= MAX_HISTORY_CHARS and num_turns <= MAX_HISTORY_TURNS:
            kept.append({"role": role, "content": content})
    return kept[::-1]
