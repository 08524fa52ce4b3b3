"""Requests as a server takes them: OpenAI's JSON, and the questions of a Manta agent.

Sampling is greedy (temperature 0), so that runs which are compared ask for the same work: a server's
answers and what they cost it then do not differ by chance. `extra_body` has the last word.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from configs.workload import AgentRequest, ChatRequest, CompletionRequest, EmbeddingRequest, LoadRequest


class BodyWriter:
    """Writes the bodies of one entry of the mix.

    Args:
        model: what is asked for unless the entry says otherwise. An agent's answers name no model.
        can_hold_length: whether the server takes `ignore_eos` and `min_tokens`; without them an answer
            may end before its planned length.
    """

    def __init__(self, request: LoadRequest, model: str, *, can_hold_length: bool) -> None:
        self._request = request
        self._model = request.model or model
        self._can_hold_length = can_hold_length
        self._encoder = msgspec.json.Encoder()

    def write(self, texts: Sequence[str], num_output_tokens: int | None) -> bytes:
        """The body of a first turn; `texts` is one, or several for embeddings."""
        return self._encoder.encode({**self._fields(texts, num_output_tokens), **self._request.extra_body})

    def _fields(self, texts: Sequence[str], num_output_tokens: int | None) -> dict[str, object]:
        request = self._request
        if isinstance(request, EmbeddingRequest):
            return {"model": self._model, "input": texts[0] if len(texts) == 1 else texts}
        (text,) = texts
        if isinstance(request, AgentRequest):
            return {"question": text, "stream": request.stream}
        fields: dict[str, object] = {"model": self._model}
        if isinstance(request, ChatRequest):
            fields["messages"] = [{"role": "user", "content": text}]
        else:
            fields["prompt"] = text
        return fields | self._generation(request, num_output_tokens)

    def _generation(
        self, request: ChatRequest | CompletionRequest, num_output_tokens: int | None
    ) -> dict[str, object]:
        fields: dict[str, object] = {"max_tokens": num_output_tokens, "temperature": 0}
        if request.hold_output_length and self._can_hold_length:
            fields |= {"ignore_eos": True, "min_tokens": num_output_tokens}
        fields["stream"] = request.stream
        if request.stream:
            fields["stream_options"] = {"include_usage": True}
        return fields
