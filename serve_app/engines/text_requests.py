"""A body of OpenAI's text endpoints as a GenerationRequest. Pure: decides, generates nothing.

Whatever is asked for is either in the result or refused by name; nothing is left out silently.
"""

from __future__ import annotations

import re
from collections.abc import Set
from typing import Any

from serve_app.engines.base import GenerationRequest, SamplingParams, Tool, ToolUse
from serve_app.errors import BadRequest
from serve_app.messages import Endpoint, JsonObject
from serve_app.openai_api.requests import (
    ChatCompletionRequest,
    CompletionRequest,
    parse_chat,
    parse_completion,
)

TextRequest = ChatCompletionRequest | CompletionRequest

# Fields that OpenAI's clients and gateways send and that say nothing about the text.
_ABOUT_THE_CALL = {
    "metadata",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
}
# What an unset field means; asking for that is asking for nothing.
_NEUTRAL: dict[str, tuple[object, ...]] = {
    "echo": (False,),
    "best_of": (1,),
    "chat_template_kwargs": ({},),
    "logit_bias": ({},),
    "logprobs": (False,),
    "min_tokens": (0,),
    "modalities": (["text"],),
    "repetition_penalty": (1.0,),
    "response_format": ({}, {"type": "text"}),
    "suffix": ("",),
    "tools": ([],),
}
_MAX_TOOLS = 128  # OpenAI's own bound
_MAX_DEPTH = 128  # objects and lists inside each other; a level of a schema is two of them
_TOOL_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")
_NO_ARGUMENTS: JsonObject = {"type": "object", "properties": {}, "additionalProperties": False}


def read_request(
    endpoint: Endpoint, body: JsonObject, abilities: Set[str]
) -> tuple[TextRequest, GenerationRequest]:
    """The request, parsed, and what the generator has to do.

    Args:
        abilities: of the generator's card: fields that it honours beyond the common ones.

    Raises:
        BadRequest: a field is wrong, or this model does not serve it; it names the field.
    """
    if endpoint is Endpoint.CHAT:
        return _read_chat(parse_chat(body), abilities)
    if endpoint is Endpoint.COMPLETIONS:
        return _read_completion(parse_completion(body), abilities)
    raise BadRequest(f"this model does not serve /v1/{endpoint}", "model")


def _read_chat(request: ChatCompletionRequest, abilities: Set[str]) -> tuple[TextRequest, GenerationRequest]:
    special = {
        # Declared tools that may not be called change nothing, so they are let through.
        "tools": None if request.tool_choice == "none" else request.tools,
        "logprobs": request.logprobs,
        "chat_template_kwargs": request.chat_template_kwargs,
        "reasoning_effort": request.reasoning_effort,
    }
    _refuse_unserved(request, special, abilities)
    if request.top_logprobs and not request.logprobs:
        raise BadRequest("top_logprobs needs logprobs: true", "top_logprobs")
    generation = GenerationRequest(
        tuple(request.messages),
        None,
        _sampling(request, (request.top_logprobs or 0) if request.logprobs else None),
        _tool_use(request),
        _schema(request.response_format),
        _template_options(request),
    )
    return request, generation


def _template_options(request: ChatCompletionRequest) -> JsonObject:
    options = dict(request.chat_template_kwargs or {})
    if request.reasoning_effort is not None:
        options["reasoning_effort"] = request.reasoning_effort
    return options


def _read_completion(
    request: CompletionRequest, abilities: Set[str]
) -> tuple[TextRequest, GenerationRequest]:
    special = {
        "echo": request.echo,
        "suffix": request.suffix,
        "best_of": request.best_of,
        "logprobs": None if request.logprobs is None else [request.logprobs],  # here 0 asks for something
    }
    _refuse_unserved(request, special, abilities)
    generation = GenerationRequest(
        None,
        _one_prompt(request),
        _sampling(request, request.logprobs),
        None,
        _schema(request.response_format),
    )
    return request, generation


def _refuse_unserved(request: TextRequest, special: dict[str, Any], abilities: Set[str]) -> None:
    asked = {
        **(request.model_extra or {}),
        **special,
        "logit_bias": request.logit_bias,
        "min_tokens": request.min_tokens,
        "repetition_penalty": request.repetition_penalty,
        "response_format": request.response_format,
    }
    for name, value in asked.items():
        if value is None or name in abilities or name in _ABOUT_THE_CALL or value in _NEUTRAL.get(name, ()):
            continue
        raise BadRequest(f"{name} is not served by this model", name)
    if request.n not in (None, 1):
        raise BadRequest("n is 1 on this model", "n")


def _one_prompt(request: CompletionRequest) -> str | tuple[int, ...]:
    prompts = _prompts(request.prompt)
    if len(prompts) > 1:
        raise BadRequest("this model takes one prompt a request", "prompt")
    if not prompts or not prompts[0]:
        raise BadRequest("the prompt is empty", "prompt")
    return prompts[0]


def _prompts(given: str | list[int] | list[str] | list[list[int]]) -> list[str | tuple[int, ...]]:
    """Text, token ids, or a list of either, always as a list; ids are a tuple."""
    if isinstance(given, str):
        return [given]
    ids = tuple(item for item in given if isinstance(item, int))
    if ids:
        return [ids]
    return [item if isinstance(item, str) else tuple(item) for item in given if not isinstance(item, int)]


def _sampling(request: TextRequest, top_logprobs: int | None) -> SamplingParams:
    max_tokens = request.max_tokens
    if isinstance(request, ChatCompletionRequest) and request.max_completion_tokens is not None:
        max_tokens = request.max_completion_tokens
    min_tokens = request.min_tokens or 0
    if max_tokens is not None and min_tokens > max_tokens:
        raise BadRequest(f"min_tokens {min_tokens} is above max_tokens {max_tokens}", "min_tokens")
    return SamplingParams(
        max_tokens=max_tokens,
        temperature=1.0 if request.temperature is None else request.temperature,
        top_p=1.0 if request.top_p is None else request.top_p,
        top_k=request.top_k,
        min_p=request.min_p,
        frequency_penalty=request.frequency_penalty or 0.0,
        presence_penalty=request.presence_penalty or 0.0,
        repetition_penalty=request.repetition_penalty or 1.0,
        seed=request.seed,
        stop=request.stop_strings(),
        ignore_eos=request.ignore_eos,
        min_tokens=min_tokens,
        logit_bias=tuple((int(token), bias) for token, bias in (request.logit_bias or {}).items()),
        top_logprobs=top_logprobs,
    )


# ---------------------------------------------------------------- tools


def _tool_use(request: ChatCompletionRequest) -> ToolUse | None:
    choice = request.tool_choice
    if choice == "none":
        return None
    tools = _tools(request.tools or [])
    if not tools:
        if choice not in (None, "auto"):
            raise BadRequest("tool_choice needs tools", "tool_choice")
        return None
    is_parallel = request.parallel_tool_calls is not False
    if choice in (None, "auto", "required"):
        return ToolUse(tools, is_required=choice == "required", is_parallel=is_parallel)
    name = _chosen(choice)
    named = tuple(tool for tool in tools if tool.name == name)
    if not named:
        raise BadRequest(f"tool_choice: there is no tool {name!r} among the tools", "tool_choice")
    return ToolUse(named, is_required=True, is_parallel=False)


def _chosen(choice: object) -> str:
    """The name in `{"type": "function", "function": {"name": ...}}`."""
    if isinstance(choice, dict) and choice.get("type") == "function":
        function = choice.get("function")
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            return str(function["name"])
    raise BadRequest(
        "tool_choice is none, auto, required, or a function with its name; this model serves nothing else",
        "tool_choice",
    )


def _tools(declared: list[JsonObject]) -> tuple[Tool, ...]:
    if len(declared) > _MAX_TOOLS:
        raise BadRequest(f"there are {len(declared)} tools; a request has at most {_MAX_TOOLS}", "tools")
    tools = tuple(_tool(one, f"tools.{index}") for index, one in enumerate(declared))
    names = [tool.name for tool in tools]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise BadRequest(f"tools.{index}: there is another tool {name!r}", f"tools.{index}.function.name")
    return tools


def _tool(declared: JsonObject, where: str) -> Tool:
    if declared.get("type", "function") != "function":
        raise BadRequest(f"{where}.type: this model takes functions only", f"{where}.type")
    function = declared.get("function")
    if not isinstance(function, dict):
        raise BadRequest(f"{where}.function: is missing", f"{where}.function")
    name = function.get("name")
    if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
        raise BadRequest(
            f"{where}.function.name: 1 to 128 letters, digits, and _ . : / -", f"{where}.function.name"
        )
    parameters = function.get("parameters")
    if parameters is None:
        parameters = _NO_ARGUMENTS
    if not isinstance(parameters, dict) or parameters.get("type", "object") != "object":
        raise BadRequest(
            f"{where}.function.parameters: arguments are an object, so this is a schema of type object",
            f"{where}.function.parameters",
        )
    _check_depth(declared, where)
    return Tool(name, {"type": "object"} | parameters, declared)


# ---------------------------------------------------------------- structured output


def _schema(response_format: JsonObject | None) -> JsonObject | None:
    """What the answer must be; None: any text.

    A schema is enforced whether it is called strict or not.
    """
    kind = (response_format or {}).get("type", "text")
    if response_format is None or kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object"}
    if kind != "json_schema":
        raise BadRequest(
            f"response_format.type: text, json_object or json_schema, not {kind!r}", "response_format"
        )
    wrapped = response_format.get("json_schema")
    schema = wrapped.get("schema") if isinstance(wrapped, dict) else None
    if not isinstance(schema, dict):
        raise BadRequest("response_format.json_schema.schema: is missing", "response_format")
    _check_depth(schema, "response_format")
    return schema


def _check_depth(document: JsonObject, param: str) -> None:
    """Refuse what nobody writes by hand, before anything walks through it recursively."""
    level: list[Any] = [document]
    for _ in range(_MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return
    raise BadRequest(f"{param}: is nested deeper than {_MAX_DEPTH} levels", param)
