"""Why vLLM did not start, and which key of the configuration it lies at: read from what it printed. Pure.

vLLM's own sentence is always told. The key is a best guess from the sentences of vLLM 0.29 to 0.32; where none is
known the message names the model alone.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from configs.schema import VllmModel
from configs.schema.engines.vllm import OWN_KEYS
from serve_app.engines.vllm.keys import key

_MAX_CHARS = 600
# "(APIServer pid=12) ERROR 11-21 17:00:29 [core.py:12] " in front of a line.
_PREFIX = re.compile(r"^(?:\(\w+[^)]*pid=\d+\)\s*)?(?:[A-Z]+ \d\d-\d\d [\d:]+ (?:\[[^\]]*\] ?)?)?")
_ARGUMENT = re.compile(r"argument --([\w-]+)[^:]*: (.*)")
_UNRECOGNIZED = re.compile(r"unrecognized arguments: --(?:no-)?([\w-]+)")
_RAISED = re.compile(r"^(?:[\w.]+\.)?(\w*(?:Error|Exception|Interrupt)): (.+)")
# What only says that something else went wrong before.
_SECOND_HAND = re.compile(
    r"(?:Engine core|WorkerProc) (?:initialization|proc\S*) failed|See (?:stack trace|root cause) (?:above|for)",
    re.I,
)
# "Failed core proc(s): {'EngineCore': -9}": a negative number is the signal that ended it.
_DEAD_CORE = re.compile(r"Failed core proc\(s\): \{[^}]*: -(\d+)")
_NO_VLLM = re.compile(r"No module named '?vllm")  # what Python says of `-m`; no traceback
# An exit status above it is this and the number of a signal, as shells have it, and the launcher.
_BY_SIGNAL = 128


@dataclass(frozen=True, slots=True)
class _Known:
    """A sentence of vLLM's: the key it is about, and what to do."""

    sentence: re.Pattern[str]
    key: Callable[[VllmModel], str]
    advice: str


def _at(name: str) -> Callable[[VllmModel], str]:
    return lambda _: name


def _memory_key(config: VllmModel) -> str:
    return "cpu_kv_cache_gib" if config.device == "cpu" else "gpu_memory_utilization"


# The first that is found counts: vLLM's words about the cache name max_model_len too.
_KNOWN = (
    _Known(
        re.compile(r"cannot open shared object file|undefined symbol|No module named", re.I),
        _at("python"),
        "this environment's vLLM is not whole, or not for this machine: see docs/vllm.md",
    ),
    _Known(
        re.compile(r"less than (?:requested memory for kv|desired [GC]PU memory|the engine's budget)", re.I),
        _memory_key,
        "lower it, or end what else holds the memory",
    ),
    _Known(
        re.compile(r"KV\s+cache.*larger than|No available memory for the cache blocks", re.I | re.S),
        _memory_key,
        "give the cache more memory, or lower max_model_len",
    ),
    _Known(
        re.compile(
            r"max_model_len.*(?:greater|larger) than|(?:greater|larger) than.*max_model_len", re.I | re.S
        ),
        _at("max_model_len"),
        "lower it, or leave it out",
    ),
    _Known(
        re.compile(r"out of memory|OutOfMemory|DefaultCPUAllocator", re.I),
        _at("weights"),
        "the model does not fit: use a larger device, a smaller dtype, or tensor_parallel_size",
    ),
    _Known(
        re.compile(
            r"Failed to infer device type|No CUDA GPUs|CUDA.*not available|Found no NVIDIA driver", re.I
        ),
        _at("device"),
        "this environment's vLLM cannot use the device: see docs/vllm.md",
    ),
    _Known(
        re.compile(r"must be divisible by tensor parallel size|divisible by.*tensor_parallel", re.I),
        _at("tensor_parallel_size"),
        "choose a divisor of the model's heads",
    ),
    _Known(
        re.compile(r"invalid tool call parser|tool.?parser", re.I),
        _at("tool_call_parser"),
        "choose one of vLLM's",
    ),
    _Known(re.compile(r"reasoning.?parser", re.I), _at("reasoning_parser"), "choose one of vLLM's"),
    _Known(re.compile(r"\bLoRA\b", re.I), _at("lora"), "see docs/vllm.md"),
    _Known(
        re.compile(
            r"not a (?:local folder|valid model identifier)|Unrecognized model|model type .* but Transformers does not"
            r"|architectures? .* (?:not supported|failed to be inspected)|Can't load|safetensors|tokenizer|config\.json"
            r"|Cannot find any model weights",
            re.I,
        ),
        _at("weights"),
        "the folder must hold a model that this vLLM knows, whole",
    ),
    _Known(re.compile(r"\bbfloat16\b|\bfloat16\b|\bdtype\b", re.I), _at("dtype"), "choose another"),
)


def reason(config: VllmModel, lines: Sequence[str], status: int | None) -> str:
    """One line for a person: what vLLM said, the key that caused it, and the way out.

    Args:
        config: the model.
        lines: the last lines of vLLM's output.
        status: its exit status; None: it was too slow.
    """
    plain = [_PREFIX.sub("", line).strip() for line in lines]
    if status is None:
        last = next((line for line in reversed(plain) if line), "nothing at all")
        return (
            f"vLLM did not answer within {key(config, 'start_timeout_s')} = {config.start_timeout_s:g} s; it last "
            f"said: {last[:_MAX_CHARS]}"
        )
    for line in plain:
        if found := _UNRECOGNIZED.search(line):
            return f"{_argument_key(config, found[1])}: vLLM knows no argument --{found[1]}"
        if found := _ARGUMENT.search(line):
            return f"{_argument_key(config, found[1])}: vLLM says: {found[2][:_MAX_CHARS]}"
    said = _said(plain)
    if said is None:
        return _died(config, plain, status)
    for known in _KNOWN:
        if known.sentence.search(said):
            return f"{key(config, known.key(config))}: vLLM says: {said[:_MAX_CHARS].rstrip('.')}; {known.advice}"
    named = next((name for name in config.engine_args if re.search(rf"\b{name}\b", said)), None)
    where = key(config, f"engine_args.{named}") if named else f"models.{config.name}"
    return f"{where}: vLLM ended with status {status} while it started: {said[:_MAX_CHARS]}"


def _argument_key(config: VllmModel, flag: str) -> str:
    name = flag.replace("-", "_")
    return key(config, OWN_KEYS.get(name, f"engine_args.{name}"))


def _died(config: VllmModel, lines: Sequence[str], status: int) -> str:
    """Of one that raised nothing: it or its engine was ended, or it left with a plain word."""
    last = next((line for line in reversed(lines) if line), "nothing")[:_MAX_CHARS]
    if _NO_VLLM.search(last):
        return f"{key(config, 'python')}: the environment of {config.python} has no vLLM: see docs/vllm.md"
    core = next((found for line in lines if (found := _DEAD_CORE.search(line))), None)
    number = int(core[1]) if core else status - _BY_SIGNAL
    if number == signal.SIGILL:
        return f"{key(config, 'python')}: this vLLM is built for another CPU than this machine's (signal {number})"
    if number > 0 or _SECOND_HAND.search(last):
        what = f"was killed by signal {number}" if number > 0 else "lost a process"
        return (
            f"{key(config, 'weights')}: vLLM {what} while it loaded the model, and did not say why; most often memory "
            f"is too small for the weights and {_memory_key(config)}. It last said: {last}"
        )
    return f"models.{config.name}: vLLM ended with status {status} while it started: {last}"


def _said(lines: Sequence[str]) -> str | None:
    """The first error that a traceback ends in and that is not about another one, with the lines that belong to it."""
    for at, line in enumerate(lines):
        if (found := _RAISED.match(line)) and not _SECOND_HAND.search(line):
            more = []
            for rest in lines[at + 1 : at + 4]:  # pydantic's errors have their reason on the lines after
                if not rest or _RAISED.match(rest) or rest.startswith(("Traceback", "File ", "During")):
                    break
                more.append(rest)
            return " ".join([found[2], *more])
    return None
