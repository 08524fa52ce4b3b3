"""A conversation as the text that the model was trained on, by the chat template of its GGUF file.

The template is foreign code: it runs in Jinja's immutable sandbox. How it wants tools is found out by trying it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from serve_app.engines.base import ToolUse
from serve_app.engines.llamacpp.library import Model
from serve_app.errors import BadRequest, ConfigError
from serve_app.messages import JsonObject
from serve_app.openai_api.requests import ChatMessage

# What is handed to every template; callers' own variables have other names.
_OURS = {
    "add_generation_prompt",
    "bos_token",
    "eos_token",
    "function_call",
    "functions",
    "messages",
    "raise_exception",
    "self",
    "strftime_now",
    "tool_choice",
    "tools",
}
_PROBE = "probe_of_a_tool"
_QUESTION = {"role": "user", "content": "Hi"}


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
        self.source = model.chat_template()
        self.knows_tools = False
        self._wants_text_arguments = False
        if self.source is None:
            return
        try:
            # Renders in jinja2.sandbox.ImmutableSandboxedEnvironment (a test holds it to that).
            self._formatter = Jinja2ChatFormatter(
                template=self.source, eos_token=model.eos_piece(), bos_token=model.bos_piece()
            )
        except TemplateError as exc:
            raise ConfigError(f"{model.path}: its chat template is broken: {exc}") from exc
        self.knows_tools = _PROBE in self._try([_QUESTION], tools=[_probe_tool()])
        # Most write arguments as JSON themselves; some only paste what they get, and would paste Python's spelling.
        self._wants_text_arguments = not _has_arguments(
            self._try([_QUESTION, _probe_turn({_PROBE: 1})])
        ) and (_has_arguments(self._try([_QUESTION, _probe_turn(json.dumps({_PROBE: 1}))])))

    def render(
        self,
        messages: Sequence[ChatMessage],
        tools: ToolUse | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt, up to where the answer begins, without the BOS token that the tokenizer adds.

        Args:
            messages: the conversation.
            tools: that may be called.
            options: variables of the template, as `enable_thinking`.

        Raises:
            BadRequest: the model has no template, or its template refuses the conversation or knows no such option.
        """
        if self._formatter is None:
            raise BadRequest(
                f"{self._name} has no chat template; send your prompt to /v1/completions instead", "messages"
            )
        for option in options or {}:
            self._check_option(option)
        turns: Any = [self._turn(message) for message in messages]
        declared: Any = [tool.declared for tool in tools.tools] if tools else None
        try:
            prompt: str = self._formatter(messages=turns, tools=declared, **(options or {})).prompt
        except (TemplateError, ValueError, TypeError) as exc:
            # Templates raise what they like; all of it is about the messages.
            raise BadRequest(f"{self._name}'s chat template refuses the messages: {exc}", "messages") from exc
        return prompt.removeprefix(self._bos)

    def _check_option(self, option: str) -> None:
        param = option if option == "reasoning_effort" else f"chat_template_kwargs.{option}"
        is_known = re.search(rf"\b{re.escape(option)}\b", self.source or "") is not None
        if option in _OURS or not is_known:
            raise BadRequest(f"{param}: {self._name}'s chat template has no such option", param)

    def _turn(self, message: ChatMessage) -> JsonObject:
        # Templates know no "developer": it is OpenAI's newer word for "system".
        role = "system" if message.role == "developer" else message.role
        turn = {**(message.model_extra or {}), "role": role, "content": message.text()}
        calls = turn.pop("tool_calls", None)
        if calls:  # templates ask whether there is such a key, and an empty one would be a call to them
            turn["tool_calls"] = [
                self._call(call, f"messages: tool_calls.{at}") for at, call in enumerate(calls)
            ]
        return turn

    def _call(self, call: object, where: str) -> JsonObject:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(call, dict) or not isinstance(function, dict):
            raise BadRequest(f"{where}: has no function", "messages")
        arguments = function.get("arguments")
        if isinstance(arguments, str) and not self._wants_text_arguments:
            try:
                arguments = json.loads(arguments or "{}")
            except ValueError as exc:
                raise BadRequest(f"{where}.function.arguments: is no JSON: {exc}", "messages") from exc
        elif isinstance(arguments, dict) and self._wants_text_arguments:
            arguments = json.dumps(arguments, ensure_ascii=False)
        return call | {"function": function | {"arguments": arguments}}

    def _try(self, turns: list[JsonObject], **given: Any) -> str:
        """What becomes of a conversation; nothing if the template refuses it."""
        assert self._formatter is not None
        messages: Any = turns
        try:
            return self._formatter(messages=messages, **given).prompt
        except (TemplateError, ValueError, TypeError):
            return ""


def _probe_tool() -> JsonObject:
    parameters = {"type": "object", "properties": {}}
    return {"type": "function", "function": {"name": _PROBE, "description": "", "parameters": parameters}}


def _probe_turn(arguments: object) -> JsonObject:
    function = {"name": "f", "arguments": arguments}
    calls = [{"id": "call_1", "type": "function", "function": function}]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def _has_arguments(prompt: str) -> bool:
    """Whether the probe's arguments stand in it as JSON."""
    return re.search(rf'\{{\s*"{_PROBE}"\s*:\s*1\s*\}}', prompt) is not None
