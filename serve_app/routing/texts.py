"""What a prompt or a conversation says."""

from __future__ import annotations

from typing import NamedTuple

from serve_app.messages import JsonObject


class Said(NamedTuple):
    """One text of a prompt."""

    text: str
    by_user: bool


def prompt_texts(body: JsonObject) -> list[Said]:
    """All texts of a prompt or of a conversation, in order. Token ids and images are none.

    Of any body: those of models whose engines read requests themselves come here unchecked.
    """
    prompt = body.get("prompt")
    if prompt is not None:
        prompts = prompt if isinstance(prompt, list) else [prompt]
        return [Said(one, by_user=True) for one in prompts if isinstance(one, str)]
    found: list[Said] = []
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, dict):
            continue
        content = message.get("content")
        if isinstance(content, list):
            texts = [part.get("text") for part in content if isinstance(part, dict)]
        else:
            texts = [content]
        by_user = message.get("role") == "user"
        found += [Said(text, by_user) for text in texts if isinstance(text, str)]
    return found
