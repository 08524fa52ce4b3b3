from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from benchmarks.scenarios.calibration import Pace
from benchmarks.scenarios.catalogue import SCENARIOS
from benchmarks.scenarios.knowledge import QUESTIONS
from benchmarks.scenarios.scenario import Dials, Plan, Scenario
from benchmarks.scenarios.subject import CannotRun, Subject
from benchmarks.target import Target
from configs.load import Profile
from configs.schema import ModelConfig
from configs.workload import (
    ChatRequest,
    ConstantArrivals,
    GammaArrivals,
    LoadRequest,
    PoissonArrivals,
    RampArrivals,
)


class Server:
    """Knows how fast it is, by the label of what is asked, and counts how often somebody wants to know."""

    def __init__(self, **rates_rps: float) -> None:
        self._rates_rps = rates_rps
        self.asked: list[tuple[str, int]] = []

    def find_pace(self, request: LoadRequest, concurrency: int) -> Pace:
        self.asked.append((request.label, concurrency))
        return Pace(concurrency, self._rates_rps.get(request.label, 40.0), 100.0, 10.0, 500.0)


MakePlan = Callable[..., Plan]


@pytest.fixture
def plan(bench_profile: Profile) -> MakePlan:
    def make(
        server: Server | None = None,
        dials: Dials | None = None,
        why_no_knowledge: str | None = None,
        **subject: Any,
    ) -> Plan:
        chat, sleepy, _ = bench_profile.platform.models
        fields: dict[str, Any] = {
            "profile": bench_profile,
            "target": Target("http://server", "mock"),
            "chat_model": chat,
            "sleepy_model": sleepy,
            "process": psutil.Process(),
        }
        found = Subject(**(fields | subject))
        return Plan(found, dials or Dials(), (server or Server()).find_pace, why_no_knowledge)

    return make


def rate_of(scenario: Scenario) -> float:
    arrivals = scenario.workload.arrivals
    assert isinstance(arrivals, (ConstantArrivals, PoissonArrivals, GammaArrivals))
    return arrivals.rate_rps


def test_there_are_ten_and_their_names_are_their_runs(plan: MakePlan) -> None:
    made = [make(plan()) for make in SCENARIOS.values()]
    assert len(made) == 10
    assert [scenario.name for scenario in made] == list(SCENARIOS)
    assert [scenario.workload.name for scenario in made] == list(SCENARIOS)
    assert all(scenario.checks and scenario.description for scenario in made)


def test_the_steady_rate_leaves_room_in_what_the_server_can_do(plan: MakePlan) -> None:
    assert rate_of(SCENARIOS["steady"](plan(Server(chat=30.0)))) == 12.0


def test_a_derived_rate_is_bounded_and_a_given_one_is_not(plan: MakePlan) -> None:
    fast = Server(chat=3000.0, long=8.0)
    assert rate_of(SCENARIOS["steady"](plan(fast))) == 50.0
    given = plan(fast, Dials(rate_rps=400.0))
    assert rate_of(SCENARIOS["steady"](given)) == 400.0
    # Long prompts cost more than what the rate was given for.
    assert rate_of(SCENARIOS["long-prompts"](given)) == 3.2


def test_a_ramp_goes_beyond_the_steady_rate(plan: MakePlan) -> None:
    arrivals = SCENARIOS["ramp"](plan(Server(chat=20.0))).workload.arrivals
    assert isinstance(arrivals, RampArrivals)
    assert (arrivals.from_rps, arrivals.to_rps) == pytest.approx((1.6, 12.8))


def test_a_pace_is_found_once_and_only_for_what_is_asked(plan: MakePlan) -> None:
    server = Server()
    made = plan(server)
    for make in SCENARIOS.values():
        make(made)
    assert server.asked == [("chat", 16), ("long", 16), ("agent", 16)]
    one = Server()
    SCENARIOS["agent-answers"](plan(one))
    assert [label for label, _ in one.asked] == ["agent"]


def test_objectives_are_derived_unless_given(plan: MakePlan) -> None:
    derived = SCENARIOS["steady"](plan()).workload.objectives
    assert (derived.ttft_ms, derived.tpot_ms, derived.attainment) == (500.0, 50.0, 0.95)
    given = SCENARIOS["steady"](plan(dials=Dials(ttft_ms=80.0, attainment=0.5))).workload.objectives
    assert (given.ttft_ms, given.tpot_ms, given.attainment) == (80.0, 50.0, 0.5)


def test_a_slow_server_is_asked_for_longer(plan: MakePlan) -> None:
    assert SCENARIOS["steady"](plan()).workload.duration_s == 20.0
    assert SCENARIOS["steady"](plan(Server(chat=0.5))).workload.duration_s == 40.0
    assert SCENARIOS["steady"](plan(Server(chat=0.05))).workload.duration_s == 60.0
    assert SCENARIOS["steady"](plan(Server(chat=0.05), Dials(duration_s=600))).workload.duration_s == 600.0


def test_prompts_are_long_for_the_engine_that_reads_them(plan: MakePlan, bench_profile: Profile) -> None:
    def long_tokens(ttft_ms: float, context_tokens: int) -> Any:
        model = bench_profile.platform.models[0].model_copy(update={"context_tokens": context_tokens})
        made = plan(chat_model=model)
        made = dataclasses.replace(made, find_pace=lambda *_: Pace(1, 1.0, ttft_ms, 10.0, 500.0))
        (request,) = SCENARIOS["long-prompts"](made).workload.requests
        assert isinstance(request, ChatRequest)
        return request.prompt_tokens

    assert long_tokens(ttft_ms=20.0, context_tokens=32768) == 2048
    assert long_tokens(ttft_ms=20.0, context_tokens=1000) == 500
    assert long_tokens(ttft_ms=800.0, context_tokens=8192) == 400
    assert long_tokens(ttft_ms=60_000.0, context_tokens=8192) == 256


def test_shared_prompts_are_as_long_as_distinct_ones(plan: MakePlan) -> None:
    shared, distinct = SCENARIOS["shared-prefixes"](plan()).workload.requests
    assert isinstance(shared, ChatRequest)
    assert isinstance(distinct, ChatRequest)
    assert isinstance(shared.prompt_tokens, int)
    assert (shared.label, distinct.label) == ("shared", "distinct")
    assert shared.prompt_tokens + shared.shared_prefix_tokens == distinct.prompt_tokens
    assert distinct.shared_prefix_tokens == 0


def test_a_mix_has_three_chats_for_one_embedding(plan: MakePlan) -> None:
    chat, embeddings = SCENARIOS["mixed"](plan()).workload.requests
    assert (chat.label, chat.weight, embeddings.label, embeddings.weight) == ("chat", 3.0, "embeddings", 1.0)
    assert embeddings.model == "embedder"


def test_a_cold_start_names_its_model_and_gives_it_time(plan: MakePlan) -> None:
    scenario = SCENARIOS["cold-start"](plan(dials=Dials(cold_start_s=90, timeout_s=30)))
    (request,) = scenario.workload.requests
    assert request.model == "sleepy"
    assert scenario.workload.timeout_s == 120.0
    assert scenario.before is not None


@pytest.mark.parametrize(("name", "limit_s"), [("replica-killed", 30.0), ("rolling-update", 150.0)])
@pytest.mark.parametrize("duration_s", [4.0, 20.0, 600.0])
def test_a_run_with_a_fault_outlasts_it(plan: MakePlan, name: str, limit_s: float, duration_s: float) -> None:
    scenario = SCENARIOS[name](plan(dials=Dials(duration_s=duration_s)))
    assert scenario.workload.duration_s is not None
    assert scenario.fault is not None
    assert scenario.min_duration_s == duration_s
    assert 2.0 <= scenario.fault_at_s < duration_s
    assert scenario.workload.duration_s > scenario.fault_at_s + limit_s


def test_a_single_replica_may_fail_what_finds_none(plan: MakePlan, bench_profile: Profile) -> None:
    two = bench_profile.platform.models[0]
    one = two.model_copy(update={"scaling": two.scaling.model_copy(update={"min_replicas": 1})})
    assert len(SCENARIOS["replica-killed"](plan()).checks) == 5
    assert len(SCENARIOS["replica-killed"](plan(chat_model=one)).checks) == 4


class TestWhatCannotBeDone:
    def why(self, plan: Plan, name: str) -> str:
        with pytest.raises(CannotRun) as caught:
            SCENARIOS[name](plan)
        return str(caught.value)

    def test_nothing_sleeps(self, plan: MakePlan) -> None:
        assert self.why(plan(sleepy_model=None), "cold-start") == "no model of this profile scales to zero"

    def test_nothing_to_answer_from(self, plan: MakePlan) -> None:
        assert self.why(plan(why_no_knowledge="it is empty"), "agent-answers") == "it is empty"

    @pytest.mark.parametrize("name", ["replica-killed", "rolling-update"])
    def test_out_of_reach_and_nothing_was_measured_for_it(self, plan: MakePlan, name: str) -> None:
        server = Server()
        far = plan(server, process=None, why_no_process="manta.example.com is not this machine")
        assert self.why(far, name).startswith("manta.example.com is not this machine; --")
        assert not server.asked

    @pytest.mark.parametrize("name", ["long-prompts", "shared-prefixes"])
    def test_no_chat_model(self, plan: MakePlan, name: str) -> None:
        assert "no generative model" in self.why(plan(chat_model=None), name)


def test_without_a_chat_model_the_agent_is_asked(plan: MakePlan) -> None:
    no_model: ModelConfig | None = None
    made = plan(chat_model=no_model)
    for name in ("steady", "ramp", "burst", "mixed", "replica-killed", "rolling-update"):
        scenario = SCENARIOS[name](made)
        request = scenario.workload.requests[0]
        assert request.kind == "agent"
        assert request.texts == str(QUESTIONS)
        assert "questions to the agent" in scenario.description
    assert "Agent is killed" in SCENARIOS["replica-killed"](made).description
