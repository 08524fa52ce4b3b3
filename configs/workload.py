"""What a load test asks, when, and what is good enough: the strict, frozen tree of a workload file.

One workload runs against any OpenAI-compatible server: the address, the model and the key are the
command's, not the file's. Everything random is drawn from `seed` before the first request leaves.

Knows nothing of files or the network: `load` reads workloads, `benchmarks` runs them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs.schema import Fraction, Name, Strict

# ---------------------------------------------------------------- lengths


class UniformLength(Strict):
    """Every length of a range is as likely."""

    distribution: Literal["uniform"]
    low: int = Field(ge=1, description="Shortest.")
    high: int = Field(ge=1, description="Longest.")

    @model_validator(mode="after")
    def _order(self) -> UniformLength:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class NormalLength(Strict):
    """A normal distribution, drawn again until it falls into the range."""

    distribution: Literal["normal"]
    mean: float = Field(gt=0, description="Before cutting to the range.")
    std: float = Field(ge=0, description="Standard deviation, before cutting to the range.")
    low: int = Field(default=1, ge=1, description="Shortest.")
    high: int = Field(default=131_072, ge=1, description="Longest.")

    @model_validator(mode="after")
    def _order(self) -> NormalLength:
        if not self.low <= self.mean <= self.high:
            raise ValueError(f"the mean {self.mean:g} is not between low {self.low} and high {self.high}")
        return self


class LognormalLength(Strict):
    """Many short ones and a long tail, as people's prompts are; drawn again until it falls into the range."""

    distribution: Literal["lognormal"]
    median: float = Field(gt=0, description="Before cutting to the range.")
    sigma: float = Field(ge=0, description="Standard deviation of the logarithm.")
    low: int = Field(default=1, ge=1, description="Shortest.")
    high: int = Field(default=131_072, ge=1, description="Longest.")

    @model_validator(mode="after")
    def _order(self) -> LognormalLength:
        if not self.low <= self.median <= self.high:
            raise ValueError(f"the median {self.median:g} is not between low {self.low} and high {self.high}")
        return self


Length = (
    Annotated[int, Field(ge=1)]
    | Annotated[UniformLength | NormalLength | LognormalLength, Field(discriminator="distribution")]
)

# ---------------------------------------------------------------- arrivals

Rate = Annotated[float, Field(gt=0, le=1_000_000)]


class ConstantArrivals(Strict):
    """The same pause between any two."""

    process: Literal["constant"]
    rate_rps: Rate = Field(description="Requests per second.")


class PoissonArrivals(Strict):
    """Independent users: exponential pauses."""

    process: Literal["poisson"]
    rate_rps: Rate = Field(description="Requests per second, in the mean.")


class GammaArrivals(Strict):
    """Burstier or calmer than Poisson: pauses from a gamma distribution."""

    process: Literal["gamma"]
    rate_rps: Rate = Field(description="Requests per second, in the mean.")
    burstiness: float = Field(
        gt=0,
        le=1000,
        description="Shape of the distribution: 1 is Poisson, below it bursts, above it evens out. The pauses' "
        "coefficient of variation is 1 over its square root. Same meaning as in vLLM's benchmarks.",
    )


class RampArrivals(Strict):
    """A rate that changes linearly over the run."""

    process: Literal["ramp"]
    from_rps: float = Field(ge=0, le=1_000_000, description="Requests per second at the start.")
    to_rps: float = Field(ge=0, le=1_000_000, description="Requests per second at the end.")
    spacing: Literal["constant", "poisson"] = Field(
        default="poisson", description="Pauses exactly as the rate says, or Poisson of that rate."
    )

    @model_validator(mode="after")
    def _some(self) -> RampArrivals:
        if self.from_rps == self.to_rps == 0:
            raise ValueError("a ramp from 0 to 0 has no requests")
        return self


class StepArrivals(Strict):
    """Rates one after the other, each for an equal share of the run."""

    process: Literal["step"]
    rates_rps: tuple[Annotated[float, Field(ge=0, le=1_000_000)], ...] = Field(
        min_length=1, description="Requests per second of each step."
    )
    spacing: Literal["constant", "poisson"] = Field(
        default="poisson", description="Pauses exactly as the rate says, or Poisson of that rate."
    )

    @model_validator(mode="after")
    def _some(self) -> StepArrivals:
        if not any(self.rates_rps):
            raise ValueError("steps of 0 have no requests")
        return self


class TraceArrivals(Strict):
    """A recorded trace: its arrival times, its lengths and, where it has them, its shared prefixes."""

    process: Literal["trace"]
    path: str = Field(min_length=1, description="The trace's file; `~` is expanded.")
    format: Literal["auto", "mooncake", "azure", "burstgpt", "manta"] = Field(
        default="auto", description="How to read it; auto: by its first line."
    )
    speed_up: float = Field(default=1.0, gt=0, description="2 replays it in half the time.")
    skip_s: float = Field(default=0.0, ge=0, description="Seconds of the trace to leave out at its start.")
    max_requests: int | None = Field(default=None, ge=1, description="Requests to replay, at most.")
    max_prompt_tokens: int | None = Field(
        default=None, ge=1, description="Longer prompts are cut to it; None: as recorded."
    )
    max_output_tokens: int | None = Field(
        default=None, ge=1, description="Longer answers are cut to it; None: as recorded."
    )


class ClosedLoop(Strict):
    """A number of users who each wait for their answer before they ask again: measures capacity only.

    Latencies of a closed loop are not what users of an open service see (coordinated omission).
    """

    process: Literal["closed"]
    concurrency: int = Field(ge=1, le=100_000, description="Requests in flight at any time.")
    max_sessions: int | None = Field(
        default=None,
        ge=1,
        le=10_000_000,
        description="Sessions that are sent, and then the run ends: the same work for every server. None: as many as "
        "the time allows.",
    )


Arrivals = Annotated[
    ConstantArrivals
    | PoissonArrivals
    | GammaArrivals
    | RampArrivals
    | StepArrivals
    | TraceArrivals
    | ClosedLoop,
    Field(discriminator="process"),
]

# ---------------------------------------------------------------- requests


class Abandonment(Strict):
    """Users who leave before the answer is complete."""

    fraction: Fraction = Field(description="Share of the requests that are abandoned.")
    after_s: float = Field(gt=0, description="Seconds after the intended arrival.")


class RequestBase(Strict):
    """What every part of the mix has."""

    name: Name | None = Field(default=None, description="What reports call it; None: its kind.")
    weight: float = Field(default=1.0, gt=0, description="Share of the requests, relative to the others.")
    model: Name | None = Field(default=None, description="Model to ask; None: the command's.")
    abandon: Abandonment | None = Field(default=None, description="None: nobody leaves early.")
    extra_body: dict[str, object] = Field(
        default={}, description="Further fields of the request's body, as they are."
    )

    @model_validator(mode="after")
    def _fields(self) -> RequestBase:
        if "stream" in self.extra_body:
            raise ValueError("extra_body must not hold `stream`, which is a setting of the request")
        if getattr(self, "texts", None) is not None and getattr(self, "prompt_tokens", None) is not None:
            raise ValueError("texts are as long as they are; give either texts or prompt_tokens")
        return self

    @property
    def label(self) -> str:
        """What reports call it."""
        return self.name or str(getattr(self, "kind"))  # noqa: B009 (every kind of request has one)


class GeneratingRequest(RequestBase):
    """A request whose answer is text."""

    prompt_tokens: Length | None = Field(
        default=None,
        description="Tokens of the user's text; None: 128, or the trace's, or as `texts` has them.",
    )
    output_tokens: Length | None = Field(
        default=None, description="Tokens of the answer; None: 32, or the trace's."
    )
    shared_prefix_tokens: int = Field(
        default=0, ge=0, description="Tokens at the start of the prompt that requests have in common."
    )
    num_shared_prefixes: int = Field(
        default=1, ge=1, description="Different shared prefixes, each used by an equal share of the requests."
    )
    texts: str | None = Field(
        default=None,
        description="File with prompts instead of generated ones: .txt has one a line, .jsonl one object with "
        "`prompt` a line. `~` is expanded.",
    )
    stream: bool = Field(default=True, description="Ask for server-sent events.")
    hold_output_length: bool = Field(
        default=True,
        description="Ask for exactly `output_tokens` with vLLM's ignore_eos and min_tokens; servers that refuse "
        "these fields are asked without them, and the report says so.",
    )


class ChatRequest(GeneratingRequest):
    """`/v1/chat/completions`."""

    kind: Literal["chat"]
    turns: Length = Field(
        default=1,
        description="Questions of a session, each with the session so far before it. A session's answers are "
        "all as long as its first.",
    )
    think_time_s: float = Field(
        default=0.0, ge=0, description="Seconds from the end of an answer to the session's next question."
    )


class CompletionRequest(GeneratingRequest):
    """`/v1/completions`."""

    kind: Literal["completions"]


class EmbeddingRequest(RequestBase):
    """`/v1/embeddings`."""

    kind: Literal["embeddings"]
    prompt_tokens: Length | None = Field(
        default=None, description="Tokens of each text; None: 128, or as `texts` has them."
    )
    num_inputs: int = Field(default=1, ge=1, le=2048, description="Texts in a request.")
    texts: str | None = Field(default=None, description="File with texts, as for chat.")


class AgentRequest(RequestBase):
    """`/v1/agent/answers` of a Manta application: questions to its knowledge base."""

    kind: Literal["agent"]
    texts: str = Field(
        description="File with questions: .txt has one a line, .jsonl one object with `prompt` a line."
    )
    stream: bool = Field(default=True, description="Ask for server-sent events.")


LoadRequest = Annotated[
    ChatRequest | CompletionRequest | EmbeddingRequest | AgentRequest, Field(discriminator="kind")
]

# ---------------------------------------------------------------- what is good enough


class Objectives(Strict):
    """Service level objectives of each request; one that fails, or has no such time, does not meet them.

    Goodput counts the requests that meet all of them (DistServe, OSDI 2024).
    """

    ttft_ms: float | None = Field(default=None, gt=0, description="Time to the first token, at most.")
    tpot_ms: float | None = Field(
        default=None, gt=0, description="Mean time of a token after the first, at most."
    )
    e2e_ms: float | None = Field(default=None, gt=0, description="Time to the end of the answer, at most.")
    attainment: Fraction = Field(
        default=0.95, description="Share of the requests that must meet the objectives for the run to pass."
    )


# ---------------------------------------------------------------- the whole


class Workload(Strict):
    """One load test."""

    name: Name = Field(default="run", description="Part of the results folder's name.")
    seed: int = Field(default=1, ge=0, description="Everything random is drawn from it, before the run.")
    duration_s: float | None = Field(
        default=None,
        gt=0,
        le=86_400,
        description="Seconds in which requests arrive; None: 60, or the trace's.",
    )
    arrivals: Arrivals = Field(
        default=PoissonArrivals(process="poisson", rate_rps=1.0), description="When requests arrive."
    )
    requests: tuple[LoadRequest, ...] = Field(
        default=(ChatRequest(kind="chat"),), min_length=1, description="What is asked; several are a mix."
    )
    warm_up_s: float | Literal["auto"] = Field(
        default="auto",
        description="Seconds at the start that the figures leave out; auto: until a slope test finds a steady state.",
    )
    timeout_s: float = Field(
        default=120.0,
        gt=0,
        le=3600,
        description="Seconds after its intended arrival that a request is given up.",
    )
    objectives: Objectives = Field(default=Objectives(), description="What is good enough.")

    @model_validator(mode="after")
    def _parts(self) -> Workload:
        labels = [request.label for request in self.requests]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"two requests are called {label!r}; give them a `name`")
        if isinstance(self.arrivals, TraceArrivals):
            self._check_trace()
        return self

    def _check_trace(self) -> None:
        """A trace says how long prompts and answers are, so nothing else may."""
        (request, *others) = self.requests
        if others or not isinstance(request, (ChatRequest, CompletionRequest)):
            raise ValueError("a trace is replayed with exactly one request of kind chat or completions")
        for field in ("prompt_tokens", "output_tokens", "texts"):
            if getattr(request, field) is not None:
                raise ValueError(f"requests.0.{field} has no meaning with a trace, which has its own lengths")
        for field in ("shared_prefix_tokens", "turns"):
            if field in request.model_fields_set:
                raise ValueError(f"requests.0.{field} has no meaning with a trace, which has its own prompts")
