"""What tokens cost. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from configs.schema import PriceConfig
from serve_app.limits.base import NANO_PER_USD


class Prices:
    """By model; one without a price is free."""

    def __init__(self, prices: Mapping[str, PriceConfig]) -> None:
        # dollars a million tokens are 1000 nano-dollars a token
        scale = NANO_PER_USD / 1e6
        self._nano_usd = {
            name: (price.usd_per_million_prompt_tokens * scale, price.usd_per_million_answer_tokens * scale)
            for name, price in prices.items()
        }

    def nano_usd(self, model: str | None, num_prompt_tokens: int, num_answer_tokens: int) -> int:
        prompt, answer = self._nano_usd.get(model or "", (0.0, 0.0))
        return round(prompt * num_prompt_tokens + answer * num_answer_tokens)
