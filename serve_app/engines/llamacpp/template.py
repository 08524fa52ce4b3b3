"""A conversation as the text that the model was trained on, by the chat template of its GGUF file.

The template is foreign code: it runs in Jinja's immutable sandbox.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from serve_app.engines.llamacpp.library import Model
from serve_app.errors import BadRequest, ConfigError
from serve_app.openai_api.requests import ChatMessage


class ChatTemplate:
    """Renders conversations for one model."""

    def __init__(self, model: Model, name: str) -> None:
        """Compile the model's template, if it has one.

        Raises:
            ConfigError: the template is no Jinja.
        """
        self._name = name
        self._bos = model.bos_piece() if model.adds_bos() else ""
        self._formatter: Jinja2ChatFormatter | None = None
        source = model.chat_template()
        if source is None:
            return
        try:
            # Renders in jinja2.sandbox.ImmutableSandboxedEnvironment (a test holds it to that).
            self._formatter = Jinja2ChatFormatter(
                template=source, eos_token=model.eos_piece(), bos_token=model.bos_piece()
            )
        except TemplateError as exc:
            raise ConfigError(f"{model.path}: its chat template is broken: {exc}") from exc

    def render(self, messages: Sequence[ChatMessage]) -> str:
        """The prompt, up to where the answer begins, without the BOS token that the tokenizer adds.

        Raises:
            BadRequest: the model has no template, or its template refuses the conversation.
        """
        if self._formatter is None:
            raise BadRequest(
                f"{self._name} has no chat template; send your prompt to /v1/completions instead", "messages"
            )
        turns: Any = [_turn(message) for message in messages]
        try:
            prompt: str = self._formatter(messages=turns).prompt
        except (TemplateError, ValueError, TypeError) as exc:
            # Templates raise what they like; all of it is about the messages.
            raise BadRequest(f"{self._name}'s chat template refuses the messages: {exc}", "messages") from exc
        return prompt.removeprefix(self._bos)


def _turn(message: ChatMessage) -> dict[str, Any]:
    # Templates know no "developer": it is OpenAI's newer word for "system".
    role = "system" if message.role == "developer" else message.role
    return {**(message.model_extra or {}), "role": role, "content": message.text()}
