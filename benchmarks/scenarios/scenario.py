"""What a scenario is, and what all of them are planned from: the application, the dials and its pace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from benchmarks.scenarios.calibration import Pace
from benchmarks.scenarios.checks import Check
from benchmarks.scenarios.faults import Fault
from benchmarks.scenarios.knowledge import QUESTIONS
from benchmarks.scenarios.subject import CannotRun, Subject
from configs.workload import (
    AgentRequest,
    Arrivals,
    ChatRequest,
    EmbeddingRequest,
    LoadRequest,
    Objectives,
    Workload,
)

PROMPT_TOKENS, OUTPUT_TOKENS = 64, 32
MAX_LONG_TOKENS = 2048
# Of what the server can do: a service that is well sized, with room for what else its machine does.
STEADY_SHARE = 0.4
# A prompt that alone takes so long is long enough, on engines that read slowly.
LONG_ENOUGH_MS = 5000.0
FEW_REQUESTS, LONGEST_WAIT_S = 8, 60.0  # a slow server's scenario goes on until it has so many, or so long


@dataclass(frozen=True, slots=True)
class Dials:
    """What a user may set; everything else follows from the application.

    Args:
        duration_s: of each scenario in which nothing is done to the server.
        rate_rps: of the steady scenario; the others follow from it. None: 40 % of what the server can do.
        max_rate_rps: the same at most, when it is derived: scenarios are about behaviour, not capacity.
        ttft_ms, tpot_ms, e2e_ms: objectives; None: from the times of the idle server.
        attainment: share of the requests that must meet them.
        max_error_share: share of the requests that may fail.
        calibration_s: of each of the two loops that find a pace.
        recovery_s: within which all must be well after a replica was killed.
        cold_start_s: within which a model that slept must give its first token.
        fault_timeout_s: within which an update must be over.
        timeout_s: of each request.
        settle_s: for which all must be well again before a run with a fault ends; above the seconds in a row
            that `recovery` looks for.
    """

    duration_s: float = 20.0
    rate_rps: float | None = None
    max_rate_rps: float = 50.0
    ttft_ms: float | None = None
    tpot_ms: float | None = None
    e2e_ms: float | None = None
    attainment: float = 0.95
    max_error_share: float = 0.01
    calibration_s: float = 4.0
    recovery_s: float = 30.0
    cold_start_s: float = 60.0
    fault_timeout_s: float = 150.0
    timeout_s: float = 60.0
    settle_s: float = 6.0
    seed: int = 1


QUICK = Dials(duration_s=4.0, calibration_s=1.0, settle_s=4.0)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One situation, ready to be run.

    Args:
        fault: what is done to the server meanwhile; the run then ends when all is well again.
        fault_at_s: when, in seconds of the run.
        min_duration_s: of a run with a fault.
        before: is called before the run; raises CannotRun if it has to be left out after all.
    """

    name: str
    description: str
    workload: Workload
    checks: tuple[Check, ...]
    fault: Fault | None = None
    fault_at_s: float = 0.0
    min_duration_s: float = 0.0
    before: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What scenarios are made from.

    Args:
        find_pace: measures how fast the server is for one kind of request.
        why_no_knowledge: why the agent has nothing to answer from; None: it has.
    """

    subject: Subject
    dials: Dials
    find_pace: Callable[[LoadRequest, int], Pace]
    why_no_knowledge: str | None = None
    _paces: dict[str, Pace] = field(default_factory=dict)  # label of a request -> its pace

    def main_request(self) -> LoadRequest:
        """What is mainly asked: the chat model, or the agent where there is none."""
        return self.chat(PROMPT_TOKENS, OUTPUT_TOKENS, "chat") if self.subject.chat_model else self.agent()

    def chat(self, prompt_tokens: int, output_tokens: int, name: str) -> ChatRequest:
        """Raises CannotRun: the application has no generative model."""
        if self.subject.chat_model is None:
            raise CannotRun("no generative model of this profile is served")
        return ChatRequest(kind="chat", name=name, prompt_tokens=prompt_tokens, output_tokens=output_tokens)

    def agent(self) -> AgentRequest:
        """Raises CannotRun: the knowledge base has nothing to answer from."""
        if self.why_no_knowledge is not None:
            raise CannotRun(self.why_no_knowledge)
        return AgentRequest(kind="agent", texts=str(QUESTIONS))

    def embeddings(self) -> EmbeddingRequest:
        return EmbeddingRequest(
            kind="embeddings",
            model=self.subject.profile.platform.embedder.name,
            prompt_tokens=PROMPT_TOKENS,
            num_inputs=4,
        )

    def long_tokens(self) -> int:
        """Tokens of a long prompt: half of the context, or as many as the engine reads in a few seconds."""
        model = self.subject.chat_model
        context_tokens = getattr(model, "context_tokens", None) or 2 * MAX_LONG_TOKENS
        most = min(MAX_LONG_TOKENS, context_tokens // 2)
        ttft_ms = self.pace(self.main_request()).ttft_ms
        if ttft_ms is None:
            return most
        return min(most, max(4 * PROMPT_TOKENS, int(PROMPT_TOKENS * LONG_ENOUGH_MS / ttft_ms)))

    def pace(self, request: LoadRequest) -> Pace:
        """How fast the server is for it; measured once."""
        if request.label not in self._paces:
            self._paces[request.label] = self.find_pace(request, self._concurrency(request))
        return self._paces[request.label]

    def known_paces(self) -> dict[str, object]:
        """What was measured so far, for the report's settings."""
        return {label: asdict(pace) for label, pace in self._paces.items()}

    def rate_rps(self, request: LoadRequest, share: float) -> float:
        """`share` of the steady rate. The steady rate is the user's, or 40 % of what the server can do."""
        easy = min(self.pace(request).capacity_rps * STEADY_SHARE, self.dials.max_rate_rps)
        chosen = self.dials.rate_rps
        if chosen is None:
            return share * easy
        is_main = request.label == self.main_request().label
        return share * (chosen if is_main else min(chosen, easy))  # others may cost the server more

    def objectives(self, request: LoadRequest, attainment: float | None = None) -> Objectives:
        """The user's, else those that an idle server meets with ease."""
        dials = self.dials
        given = {"ttft_ms": dials.ttft_ms, "tpot_ms": dials.tpot_ms, "e2e_ms": dials.e2e_ms}
        derived = self.pace(request).objectives(attainment or dials.attainment)
        return derived.model_copy(update={name: limit for name, limit in given.items() if limit is not None})

    def workload(
        self,
        name: str,
        arrivals: Arrivals,
        requests: tuple[LoadRequest, ...],
        objectives: Objectives,
        mean_rps: float,
        *,
        warm_up_share: float = 0.0,
    ) -> Workload:
        """A workload of the dials' duration; longer if few requests would come in it."""
        duration_s = max(self.dials.duration_s, min(FEW_REQUESTS / mean_rps, LONGEST_WAIT_S))
        return Workload(
            name=name,
            seed=self.dials.seed,
            duration_s=duration_s,
            arrivals=arrivals,
            requests=requests,
            warm_up_s=round(warm_up_share * duration_s, 1),
            timeout_s=self.dials.timeout_s,
            objectives=objectives,
        )

    def _concurrency(self, request: LoadRequest) -> int:
        """As many as the replicas work on at once, up to what a small machine can drive."""
        platform = self.subject.profile.platform
        if isinstance(request, EmbeddingRequest):
            return 1
        part = platform.agent if isinstance(request, AgentRequest) else self.subject.chat_model
        assert part is not None
        places = part.scaling.max_ongoing_requests * max(1, part.scaling.min_replicas)
        return min(places, getattr(part, "max_concurrent", places), 16)
