"""Groups: one model name behind which several models stand, and who of them answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs.schema.base import Fraction, Name, Strict


class MemberConfig(Strict):
    """A model of a group."""

    model: Name = Field(description="The chat model's name.")
    weight: float = Field(
        default=1.0,
        gt=0,
        description="Its share of the requests, or of the room, against the others' weights.",
    )
    canary: Fraction | None = Field(
        default=None,
        description="Exactly this share of the requests goes here, and nobody falls back on it; None: it is no "
        "canary.",
    )


class CascadeConfig(Strict):
    """A small model first, and the large one where a cheap signal says so. Never after a byte was sent."""

    small: Name = Field(description="The chat model that answers what is easy.")
    large: Name = Field(description="The chat model that answers the rest.")
    max_prompt_chars: int | None = Field(
        default=4000, ge=1, description="Longer prompts go to the large model at once; None: however long."
    )
    code_is_hard: bool = Field(default=True, description="Prompts with code go to the large model at once.")
    min_mean_logprob: Annotated[float, Field(le=0)] | None = Field(
        default=None,
        description="The small model's answer is sent if the mean of its tokens' log-probabilities (natural) is at "
        "least this, for example -0.35; the small model has to serve `logprobs`. None: not asked.",
    )
    decide_after_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Look at so many tokens of the small model's answer and hold back no more of a stream than these; "
        "None: the whole answer. Not together with a judge.",
    )
    judge: Name | None = Field(
        default=None,
        description="Chat model that is shown the small model's whole answer and says whether it will do; None: none.",
    )
    judge_timeout_s: float = Field(
        default=5.0,
        gt=0,
        description="Seconds for the judge. One that is late or says neither yes nor no counts as no.",
    )

    @model_validator(mode="after")
    def _signals(self) -> CascadeConfig:
        if self.small == self.large:
            raise ValueError(f"small and large are both {self.small}")
        if self.judge is not None and self.decide_after_tokens is not None:
            raise ValueError("a judge needs the whole answer, so decide_after_tokens cannot be set with it")
        return self


class GroupConfig(Strict):
    """A name that clients write into `model`, and the models behind it."""

    name: Name = Field(description="What clients write into `model`.")
    members: tuple[MemberConfig, ...] = Field(
        default=(), description="The models that share its requests; none with a cascade."
    )
    cascade: CascadeConfig | None = Field(
        default=None, description="Two models, one after the other, instead of members."
    )
    choice: Literal["weighted", "least_loaded", "fastest"] = Field(
        default="weighted",
        description="Who answers. `weighted`: drawn by weight. `least_loaded`: fewest requests under way, for its "
        "weight. `fastest`: least time to the first byte, as it was lately, times requests under way. Both are counted "
        "in this replica of the ingress.",
    )
    affinity: Literal["none", "session", "prefix"] = Field(
        default="none",
        description="Keep requests together on one member as long as it is not fuller than the others: those of one "
        "`x-manta-session` (or `prompt_cache_key`, or `user`), or those whose prompts begin alike. It pays where "
        "engines keep the keys and values of earlier prompts.",
    )
    fallbacks: tuple[Name, ...] = Field(
        default=(),
        description="Models to ask, in this order, when the members cannot answer; only before the first byte.",
    )
    first_byte_timeout_s: float | None = Field(
        default=None,
        gt=0,
        description="Seconds for a member's first byte before the next one is asked; None: what the request has.",
    )
    max_failures: int = Field(
        default=5, ge=1, description="Failures in a row after which a member is asked last, for a while."
    )
    cooldown_s: float = Field(default=10.0, gt=0, description="How long that is, in seconds.")

    @model_validator(mode="after")
    def _members(self) -> GroupConfig:
        if (self.cascade is None) == (not self.members):
            raise ValueError(f"the group {self.name} needs members, or a cascade, and not both")
        names = [member.model for member in self.members]
        if len(set(names)) < len(names):
            raise ValueError(f"the group {self.name} names a member twice")
        if self.members and all(member.canary is not None for member in self.members):
            raise ValueError(f"the group {self.name} has nothing but canaries")
        if sum(member.canary or 0.0 for member in self.members) > 1.0:
            raise ValueError(f"the canaries of the group {self.name} have more than all requests")
        return self

    def models(self) -> tuple[str, ...]:
        """Every model that it may ask, each once."""
        named = [member.model for member in self.members]
        if self.cascade is not None:
            named += [self.cascade.small, self.cascade.large]
            named += [self.cascade.judge] if self.cascade.judge is not None else []
        return tuple(dict.fromkeys((*named, *self.fallbacks)))
