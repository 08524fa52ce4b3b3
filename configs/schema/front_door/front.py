"""What stands between the door and the models. All of it is off by default, and then costs nothing."""

from __future__ import annotations

from collections.abc import Collection

from pydantic import Field, model_validator

from configs.schema.base import Strict
from configs.schema.front_door.answer_cache import AnswerCacheConfig
from configs.schema.front_door.guards import GuardsConfig
from configs.schema.front_door.routing import GroupConfig


class FrontConfig(Strict):
    """Steps that a request takes before a model is asked."""

    groups: tuple[GroupConfig, ...] = Field(
        default=(), description="Names behind which several models stand."
    )

    guards: GuardsConfig | None = Field(
        default=None, description="What may not go in to a model, or come out; None: nothing is looked at."
    )
    cache: AnswerCacheConfig | None = Field(
        default=None, description="What was answered once is not computed again; None: everything is."
    )

    @property
    def is_on(self) -> bool:
        """Whether there is anything to do at all."""
        return bool(self.groups) or self.cache is not None or self.guards is not None

    def check(self, models: Collection[str], names: Collection[str], *, has_redis: bool) -> None:
        """Raise ValueError where it does not fit the rest.

        Args:
            models: names of chat models.
            names: of everything that can be written into `model`, groups left out.
            has_redis: whether there is a `door.redis`.
        """
        for group in self.groups:
            if group.name in names:
                raise ValueError(f"the name {group.name!r} is that of a group and of something else")
            for name in group.models():
                if name not in models:
                    there = ", ".join(sorted(models))
                    raise ValueError(f"the group {group.name} names {name!r}, which is none of: {there}")
        if self.cache is not None and self.cache.store == "redis" and not has_redis:
            raise ValueError("front.cache.store is redis, and there is no door.redis")

    @model_validator(mode="after")
    def _names(self) -> FrontConfig:
        names = [group.name for group in self.groups]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the group {name!r} is given twice")
        return self
