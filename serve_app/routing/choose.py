"""In which order to ask the members of a group. Pure: the same state and the same random numbers, the same order."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Literal

from serve_app.routing.base import Choice, Member, Why
from serve_app.routing.hashing import draw, ticket, unit

Rule = Literal["weighted", "least_loaded", "fastest"]
_WHY = {"weighted": Why.WEIGHTED, "least_loaded": Why.LEAST_LOADED, "fastest": Why.FASTEST}
# A member that has so many times its share of the requests under way gets no more by affinity. (V. Mirrokni et al.,
# "Consistent Hashing with Bounded Loads", 2018; HAProxy and Vimeo run it with 1.25 to 1.5.)
MAX_LOAD = 1.25


def order(
    members: Sequence[Member],
    rule: Rule,
    rng: random.Random,
    *,
    key: str | None = None,
    fallbacks: Sequence[str] = (),
) -> list[Choice]:
    """Whom to ask, best first, each once: never empty where there are members.

    A canary gets its share and nothing else. Members that cool down come after those that do not, and fallbacks last.

    Args:
        rule: among the members that are no canaries.
        key: what keeps requests together; None: nothing does.
        fallbacks: models to ask when no member answers.
    """
    # Where only canaries are left, because the others' weights are not here, they are members like any other.
    stable = [member for member in members if member.canary is None] or list(members)
    canaries = [member for member in members if member not in stable]
    canary = _canary(canaries, unit("canary", key) if key is not None else rng.random())
    found: list[Choice] = []
    if canary is not None:
        found.append(Choice(canary.model, Why.CANARY))
    found += _stable(stable, rule, rng, key)
    named = {choice.model for choice in found}
    found += [Choice(model, Why.FALLBACK) for model in fallbacks if model not in named]
    return found


def _canary(members: Sequence[Member], number: float) -> Member | None:
    """Whose share the number in [0, 1) falls into; one that cools down gets nothing."""
    bound = 0.0
    for member in members:
        bound += member.canary or 0.0
        if number < bound:
            return None if member.is_cooling else member
    return None


def _stable(members: Sequence[Member], rule: Rule, rng: random.Random, key: str | None) -> list[Choice]:
    if len(members) == 1:
        return [Choice(members[0].model, Why.ONLY)]
    well = [member for member in members if not member.is_cooling]
    cooling = [member for member in members if member.is_cooling]
    if key is None:
        ranked = [*_ranked(well, rule, rng), *_ranked(cooling, rule, rng)]
        return [Choice(member.model, _WHY[rule]) for member in ranked]
    ranked = [*_by_key(well, key), *_by_key(cooling, key)]
    home = ranked[0]
    roomy = next((member for member in ranked[: len(well)] if not _is_full(member, well)), home)
    ranked = [roomy, *(member for member in ranked if member is not roomy)]
    return [Choice(member.model, Why.AFFINITY if member is home else Why.SPILLED) for member in ranked]


def _ranked(members: Sequence[Member], rule: Rule, rng: random.Random) -> list[Member]:
    draws = {member.model: ticket(draw(rng), member.weight) for member in members}
    if rule == "weighted":
        return sorted(members, key=lambda one: -draws[one.model])
    if rule == "least_loaded":
        return sorted(members, key=lambda one: ((one.num_running + 1) / one.weight, -draws[one.model]))
    known = [one.latency_s for one in members if one.latency_s is not None]
    # Of whom nothing is known is taken to be as fast as the fastest, so that it is tried, and not by everybody at once.
    hoped_s = min(known, default=1.0)
    return sorted(members, key=lambda one: (_expected_s(one, hoped_s), -draws[one.model]))


def _expected_s(member: Member, hoped_s: float) -> float:
    """Latency times what is under way: the cost of Finagle's and Linkerd's "peak EWMA" balancers."""
    latency_s = hoped_s if member.latency_s is None else member.latency_s
    return latency_s * (member.num_running + 1) / member.weight


def _by_key(members: Sequence[Member], key: str) -> list[Member]:
    return sorted(members, key=lambda one: -ticket(unit(key, one.model), one.weight))


def _is_full(member: Member, members: Sequence[Member]) -> bool:
    num_running = sum(one.num_running for one in members) + 1
    share = member.weight / math.fsum(one.weight for one in members)
    return member.num_running >= math.ceil(MAX_LOAD * num_running * share)
