"""The groups of one replica of the ingress, as a step before the models."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Mapping, Sequence

from configs.schema import GroupConfig
from serve_app.front.base import Ask, Source
from serve_app.messages import Endpoint, ModelCard
from serve_app.routing.cascade import Cascade
from serve_app.routing.group import MODEL_ID, Group
from serve_app.telemetry.metrics import Count, count_nothing


class Router:
    """A Step for requests that name a group.

    Args:
        cards: of the models that are served here.
    """

    def __init__(
        self,
        groups: Sequence[GroupConfig],
        cards: Mapping[str, ModelCard],
        count: Count = count_nothing,
        rng: random.Random | None = None,
    ) -> None:
        contexts = {name: card.context_tokens for name, card in cards.items()}
        self._groups: dict[str, Group | Cascade] = {}
        self._plain: dict[str, Group] = {}
        for config in groups:
            group = Group(config, contexts, count, rng=rng)
            served = tuple(model for model in config.fallbacks if model in contexts)
            cascade = config.cascade
            self._plain[config.name] = group
            self._groups[config.name] = group if cascade is None else Cascade(cascade, group, served, count)

    def concerns(self, ask: Ask) -> bool:
        return ask.name in self._groups

    def frames(self, ask: Ask, inner: Source) -> AsyncGenerator[bytes]:
        groups = self._plain if MODEL_ID in ask.headers else self._groups
        return groups[ask.name].frames(ask, inner)


def group_cards(
    groups: Sequence[GroupConfig], cards: Mapping[str, ModelCard]
) -> tuple[dict[str, ModelCard], dict[str, str]]:
    """The cards of the groups that can be served with these models, and name -> why the others cannot."""
    made: dict[str, ModelCard] = {}
    left_out: dict[str, str] = {}
    for group in groups:
        needed = [one.model for one in group.members]
        if group.cascade is not None:
            needed = [group.cascade.small, group.cascade.large]
        there = [cards[name] for name in needed if name in cards]
        if not there or (group.cascade is not None and len(there) < len(needed)):
            missing = ", ".join(name for name in needed if name not in cards)
            left_out[group.name] = f"its models are not loaded: {missing}"
            continue
        contexts = [card.context_tokens for card in there if card.context_tokens is not None]
        made[group.name] = ModelCard(
            name=group.name,
            engine="group",
            endpoints=(Endpoint.CHAT, Endpoint.COMPLETIONS),
            context_tokens=min(contexts, default=None),
            is_generative=any(card.is_generative for card in there),
        )
    return made, left_out
