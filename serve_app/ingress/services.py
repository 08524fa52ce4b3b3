"""What stands behind the ingress: the application's parts as protocols, and what is said about them.

Knows nothing of HTTP or Ray.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from serve_app.agent.base import AgentClient
from serve_app.agents.base import DeclaredAgentClient
from serve_app.engines.base import EmbeddingClient, ModelClient
from serve_app.errors import BadRequest, ModelNotFound
from serve_app.front.base import Front
from serve_app.health.readiness import Explain
from serve_app.ingress.adapters import Adapters
from serve_app.ingress.closing import Closing
from serve_app.ingress.waking.cold_start import ColdStart
from serve_app.messages import Endpoint, ModelCard
from serve_app.retrieval.base import KnowledgeClient
from serve_app.retrieval.jobs.base import JobsClient
from serve_app.sessions.base import SessionStore

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Services:
    """The parts that the routes call. Every name in `models`, `embedders` and `agents` has a card."""

    models: Mapping[str, ModelClient]  # chat models
    embedders: Mapping[str, EmbeddingClient]
    agents: Mapping[str, AgentClient]  # the pipeline first: whoever names no agent asks it
    knowledge: KnowledgeClient
    cards: Mapping[str, ModelCard]
    # those of `agents` that are declared: their runs can wait for a person
    declared: Mapping[str, DeclaredAgentClient] = field(default_factory=dict)
    jobs: JobsClient | None = None  # None: documents are not taken in the background
    left_out: Mapping[str, str] = field(default_factory=dict)  # optional model -> why it is not served
    # dependency -> returns if it can work, raises why it cannot
    probes: Mapping[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    # dependency -> what is known of it, asked about those whose probes got no answer; None: nobody knows more
    explain: Explain | None = None
    # metrics in Prometheus' text format; None: nothing exports any here
    read_metrics: Callable[[], Awaitable[bytes]] | None = None
    sessions: SessionStore | None = None  # None: none are kept
    adapters: Adapters | None = None  # None: no model takes any
    closing: Closing = field(default_factory=Closing)
    # steps before models and agents; None: there are none, and requests go straight to them
    front: Front | None = None
    # what scales to zero, by name -> a new wait for it
    cold_starts: Mapping[str, Callable[[], ColdStart]] = field(default_factory=dict)

    def waking_stream(self, name: str, frames: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The frames; before them, where that name scales to zero, a bounded wait that is told in comments."""
        wait = self.cold_starts.get(name)
        return frames if wait is None else wait().stream(frames)

    async def waking(self, name: str, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`; where that name scales to zero, after a bounded wait."""
        wait = self.cold_starts.get(name)
        return await (work if wait is None else wait().respond(work))

    def card(self, name: str) -> ModelCard:
        """The card of whatever is served under that name.

        Raises:
            ModelNotFound: nothing is; it says why, or what else is served.
        """
        card = self.cards.get(name)
        if card is not None:
            return card
        if name in self.left_out:
            raise ModelNotFound(f"{name} is configured but not loaded: {self.left_out[name]}")
        raise ModelNotFound(f"no model {name!r} is served; there are: {', '.join(sorted(self.cards))}")

    def require(self, name: str, endpoint: Endpoint) -> None:
        """Return if that name serves the endpoint.

        Raises:
            ModelNotFound: nothing of that name is served.
            BadRequest: it serves other endpoints; they are named.
        """
        card = self.card(name)
        if endpoint not in card.endpoints:
            served = ", ".join(one.path for one in card.endpoints)
            raise BadRequest(f"{name} ({card.engine}) serves {served}, not {endpoint.path}", "model")
