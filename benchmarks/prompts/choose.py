"""Which tokenizer counts for which model: the one asked for, or the best that the server offers."""

from __future__ import annotations

from pathlib import Path

from benchmarks.discovery.abilities import Ability
from benchmarks.discovery.discover import Discovery
from benchmarks.discovery.probe import Probe
from benchmarks.errors import CannotCount
from benchmarks.prompts.file_tokenizer import FileTokenizer
from benchmarks.prompts.generated import GeneratedPrompts, prepare_prompts
from benchmarks.prompts.token_counter import TokenCounter
from benchmarks.prompts.tokenize_endpoint import TokenizeEndpoint
from benchmarks.prompts.usage_counter import Kind, UsageCounter, open_usage_counter

# Completions first: no template stands around their text.
_BY_PREFERENCE: tuple[Kind, ...] = ("completions", "chat", "embeddings")


def open_prompts(probe: Probe, discovery: Discovery, seed: int, tokenizer: str = "auto") -> GeneratedPrompts:
    """Generated prompts whose lengths are right for every model of the discovery.

    Args:
        tokenizer: "auto": the server's /tokenize, else its usage, else none. "tokenize" or "usage":
            only that. Anything else is the path of a tokenizer.json, which then counts for all models.

    Raises:
        BadTarget: the server fails while it counts.
        CannotCount: the tokenizer asked for is not to be had; never with "auto".
    """
    if tokenizer not in ("auto", "tokenize", "usage"):
        return prepare_prompts(seed, [FileTokenizer(Path(tokenizer))])
    abilities: dict[str, list[Ability]] = {}  # model -> what its endpoints do
    for ability in discovery.abilities:
        if ability.kind != "agent":
            abilities.setdefault(ability.model, []).append(ability)
    counters = []
    for model, able in abilities.items():
        try:
            counters.append(_counter(probe, discovery, model, able, tokenizer))
        except CannotCount as exc:
            if tokenizer != "auto":
                raise
            return prepare_prompts(seed, [], why=str(exc))
    return prepare_prompts(seed, counters)


def _counter(
    probe: Probe, discovery: Discovery, model: str, abilities: list[Ability], tokenizer: str
) -> TokenCounter:
    dialect = discovery.tokenize.get(model)
    if tokenizer != "usage" and dialect is not None:
        return TokenizeEndpoint(probe, model, dialect)
    if tokenizer == "tokenize":
        raise CannotCount(f"{probe.url} has no /tokenize for {model}")
    return _usage_counter(probe, model, abilities)


def _usage_counter(probe: Probe, model: str, abilities: list[Ability]) -> UsageCounter:
    kinds = {ability.kind for ability in abilities}
    kind = next(kind for kind in _BY_PREFERENCE if kind in kinds)
    return open_usage_counter(probe, kind, model)
