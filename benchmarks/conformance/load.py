"""The load under which faults are done: streams whose text is known beforehand, and some questions to the agent.

The server itself says what each seed's text is, in a quiet moment and twice: so nothing of an engine is known
here, and any that repeats itself for a seed (or is greedy) will do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.endpoints import PATHS
from benchmarks.errors import BadTarget
from benchmarks.run.execute import Prepared
from benchmarks.scenarios.knowledge import QUESTIONS
from benchmarks.schedule.bodies import BodyWriter
from configs.workload import AgentRequest, ChatRequest, ConstantArrivals, LoadRequest, Workload

PROMPT = Path(__file__).with_name("prompt.txt")


@dataclass(frozen=True, slots=True)
class LoadDials:
    """What is asked.

    Args:
        rate_rps: of all requests together, evenly spaced.
        num_output_tokens: of each stream.
        num_seeds: different texts.
        agent_share: share of the requests that are questions to the agent; 0: none.
        deadline_s: that each request is given, in its header.
        grace_s: that the client waits beyond it.
    """

    rate_rps: float = 8.0
    num_output_tokens: int = 48
    num_seeds: int = 8
    agent_share: float = 0.125
    deadline_s: float = 10.0
    grace_s: float = 4.0
    seed: int = 1


def workload(dials: LoadDials, name: str, duration_s: float) -> Workload:
    """The load of one window."""
    chats = [_chat(dials, number) for number in range(dials.num_seeds)]
    requests: list[LoadRequest] = list(chats)
    if dials.agent_share > 0:
        weight = dials.agent_share / (1.0 - dials.agent_share) * len(chats)
        requests.append(AgentRequest(kind="agent", texts=str(QUESTIONS), weight=weight))
    return Workload(
        name=name,
        seed=dials.seed,
        duration_s=duration_s,
        arrivals=ConstantArrivals(process="constant", rate_rps=dials.rate_rps),
        requests=tuple(requests),
        warm_up_s=0.0,
        timeout_s=dials.deadline_s + dials.grace_s,
    )


def expected_texts(load: Workload, prepared: Prepared, http: httpx.Client) -> dict[str, str]:
    """Entry of the mix -> the text that its answers have.

    Raises:
        BadTarget: there is no answer, or the same request has two different ones.
    """
    (prompt,) = PROMPT.read_text(encoding="utf-8").splitlines()
    found: dict[str, str] = {}
    for entry in load.requests:
        if isinstance(entry, ChatRequest):
            quiet = entry.model_copy(update={"stream": False})
            writer = BodyWriter(quiet, prepared.target.model, can_hold_length=prepared.can_hold_length)
            assert isinstance(entry.output_tokens, int)
            body = writer.write([prompt], entry.output_tokens)
            first, second = _answer(http, body), _answer(http, body)
            if first != second:
                raise BadTarget(
                    f"{prepared.target.model} answers the same seeded request in two ways: nothing can be compared"
                )
            found[entry.label] = first
    return found


def _chat(dials: LoadDials, number: int) -> ChatRequest:
    return ChatRequest(
        kind="chat",
        name=f"seed-{number}",
        texts=str(PROMPT),
        output_tokens=dials.num_output_tokens,
        extra_body={"seed": number},
    )


def _answer(http: httpx.Client, body: bytes) -> str:
    try:
        response = http.post(PATHS["chat"], content=body, headers={"content-type": "application/json"})
        response.raise_for_status()
        document: Mapping[str, Any] = response.json()
        return str(document["choices"][0]["message"]["content"])
    except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError) as exc:
        raise BadTarget(f"{http.base_url}{PATHS['chat']}: {exc or exc.__class__.__name__}") from exc
