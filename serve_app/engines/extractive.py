"""An engine without weights: it answers a grounded prompt with the passages' own sentences, cited.

Understands the format of `serve_app.grounding.prompt` and nothing else, and says so. Deterministic:
temperature, seed and penalties change nothing. A token is a word with the white space after it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

from configs.schema import ExtractiveModel
from serve_app.engines.base import GenerationRequest, TextChunk
from serve_app.engines.cards import model_card
from serve_app.engines.stop_strings import StopStrings
from serve_app.errors import BadRequest
from serve_app.grounding.extract import PULL_COMMAND, compose, extract
from serve_app.grounding.prompt import NOTHING_FITS, Grounded, parse, parse_text
from serve_app.messages import ModelCard, RequestContext

_TOKEN = re.compile(r"\s*\S+")


class ExtractiveGenerator:
    """A TextGenerator that quotes."""

    def __init__(self, config: ExtractiveModel) -> None:
        self._config = config

    def card(self) -> ModelCard:
        return model_card(self._config)

    async def generate(self, request: GenerationRequest, context: RequestContext) -> AsyncIterator[TextChunk]:
        if request.sampling.ignore_eos:
            raise BadRequest(
                "ignore_eos is not served by this model: it ends where its quotes end", "ignore_eos"
            )
        grounded, num_prompt = self._read(request)
        # Some milliseconds of pure Python for a prompt of fifty passages: on a thread, not on the loop.
        quotes = await asyncio.to_thread(
            extract, grounded.question, grounded.sources, self._config.max_sentences
        )
        pieces = compose(quotes) or [NOTHING_FITS]
        stops = StopStrings(request.sampling.stop)
        num_left = request.sampling.max_tokens
        num_made = 0
        for at, piece in enumerate(pieces):
            words = _TOKEN.findall(piece)
            is_cut = num_left is not None and len(words) > num_left - num_made
            if is_cut and num_left is not None:
                words = words[: num_left - num_made]
            num_made += len(words)
            text, is_stopped = stops.feed("".join(words))
            is_last = is_stopped or is_cut or at + 1 == len(pieces)
            if is_last and not is_stopped:
                text += stops.rest()
            yield TextChunk(
                text,
                ("length" if is_cut and not is_stopped else "stop") if is_last else None,
                num_prompt_tokens=num_prompt,
                num_completion_tokens=num_made,
            )
            if is_last:
                return

    async def check_health(self) -> None:
        return

    async def close(self) -> None:
        return

    def _read(self, request: GenerationRequest) -> tuple[Grounded, int]:
        """The grounded prompt and how many words the whole request has."""
        if request.messages is not None:
            grounded = parse(request.messages)
            text = "\n".join(message.text() for message in request.messages)
            param = "messages"
        else:
            text = request.prompt if isinstance(request.prompt, str) else ""
            grounded = parse_text(text)
            param = "prompt"
        if grounded is None:
            raise BadRequest(
                f"{self._config.name} is not a generative model: it quotes the passages of a grounded prompt,"
                " and this prompt has none. Ask the agent, which finds passages, or load a generative model:"
                f" {PULL_COMMAND}",
                param,
            )
        return grounded, len(text.split())
