"""The ten scenarios, each made from a plan: what is asked and when, what is done to the server, what is demanded.

A function here raises CannotRun when the profile or the target cannot do its scenario.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from benchmarks.scenarios import checks
from benchmarks.scenarios.scenario import OUTPUT_TOKENS, PROMPT_TOKENS, Plan, Scenario
from benchmarks.scenarios.subject import CannotRun, wait_until_asleep
from configs.workload import (
    ChatRequest,
    ConstantArrivals,
    GammaArrivals,
    LoadRequest,
    Objectives,
    PoissonArrivals,
    RampArrivals,
    Workload,
)

WARM_UP_SHARE = 0.1
# Gamma arrivals of this shape come in knots: their pauses spread 2.6 times as much as Poisson's.
BURSTINESS = 0.15
ROUGH_ATTAINMENT = 0.9  # where the server is meant to be short of breath for moments
UPDATE_ATTAINMENT = 0.5  # while every process of the application starts anew beside its old one
FAULT_GRACE_S = 1.0  # until callers know that a replica is dead
EMBEDDING_LIMIT_MS = 1000.0


def steady(plan: Plan) -> Scenario:
    request = plan.main_request()
    workload = _poisson(plan, "steady", request, 1.0, plan.objectives(request))
    return Scenario(
        "steady", f"{_what(request)}, Poisson arrivals at {_rate(workload)}", workload, _usual(plan, workload)
    )


def ramp(plan: Plan) -> Scenario:
    request = plan.main_request()
    low, high = plan.rate_rps(request, 0.2), plan.rate_rps(request, 1.6)
    arrivals = RampArrivals(process="ramp", from_rps=low, to_rps=high)
    objectives = plan.objectives(request, ROUGH_ATTAINMENT)
    workload = plan.workload("ramp", arrivals, (request,), objectives, (low + high) / 2)
    text = f"{_what(request)}, from {low:.3g} to {high:.3g} requests/s"
    return Scenario("ramp", text, workload, _usual(plan, workload))


def burst(plan: Plan) -> Scenario:
    request = plan.main_request()
    rate = plan.rate_rps(request, 0.8)
    arrivals = GammaArrivals(process="gamma", rate_rps=rate, burstiness=BURSTINESS)
    workload = plan.workload("burst", arrivals, (request,), plan.objectives(request, ROUGH_ATTAINMENT), rate)
    text = f"{_what(request)} in bursts (gamma, shape {BURSTINESS:g}), {rate:.3g} requests/s in the mean"
    return Scenario("burst", text, workload, _usual(plan, workload))


def cold_start(plan: Plan) -> Scenario:
    model = plan.subject.sleepy_model
    if model is None:
        raise CannotRun("no model of this profile scales to zero")
    request = ChatRequest(
        kind="chat",
        name="cold",
        model=model.name,
        prompt_tokens=PROMPT_TOKENS,
        output_tokens=OUTPUT_TOKENS,
    )
    arrivals = ConstantArrivals(process="constant", rate_rps=2.0)
    workload = plan.workload("cold-start", arrivals, (request,), Objectives(), 2.0)
    # Callers wait for the replica, so they are given the time that it may take.
    workload = workload.model_copy(update={"timeout_s": plan.dials.cold_start_s + plan.dials.timeout_s})
    return Scenario(
        "cold-start",
        f"{model.name} has no replica; two chats a second begin to ask for it",
        workload,
        (checks.first_token_within(plan.dials.cold_start_s), checks.none_fails()),
        before=partial(wait_until_asleep, plan.subject, model),
    )


def long_prompts(plan: Plan) -> Scenario:
    request = _long(plan)
    workload = _poisson(plan, "long-prompts", request, 1.0, plan.objectives(request))
    text = f"chats of {request.prompt_tokens} prompt tokens at {_rate(workload)}"
    return Scenario("long-prompts", text, workload, _usual(plan, workload))


def shared_prefixes(plan: Plan) -> Scenario:
    long = _long(plan)
    assert isinstance(long.prompt_tokens, int)
    own, shared = long.prompt_tokens // 4, long.prompt_tokens - long.prompt_tokens // 4
    distinct = long.model_copy(update={"name": "distinct"})
    sharing = long.model_copy(
        update={
            "name": "shared",
            "prompt_tokens": own,
            "shared_prefix_tokens": shared,
            "num_shared_prefixes": 4,
        }
    )
    rate = plan.rate_rps(long, 1.0)
    arrivals = PoissonArrivals(process="poisson", rate_rps=rate)
    workload = plan.workload(
        "shared-prefixes",
        arrivals,
        (sharing, distinct),
        plan.objectives(long),
        rate,
        warm_up_share=WARM_UP_SHARE,
    )
    text = f"chats of {long.prompt_tokens} prompt tokens at {_rate(workload)}; half of them share their first {shared}"
    demands = (*_usual(plan, workload), checks.first_tokens_no_later("shared", "distinct", 1.25))
    return Scenario("shared-prefixes", text, workload, demands)


def mixed(plan: Plan) -> Scenario:
    request, embeddings = plan.main_request(), plan.embeddings()
    rate = plan.rate_rps(request, 1.0)
    arrivals = PoissonArrivals(process="poisson", rate_rps=rate)
    workload = plan.workload(
        "mixed",
        arrivals,
        (request.model_copy(update={"weight": 3.0}), embeddings),
        plan.objectives(request),
        rate,
        warm_up_share=WARM_UP_SHARE,
    )
    text = f"three {_what(request)} for each batch of {embeddings.num_inputs} embeddings, {_rate(workload)} together"
    demands = (
        *_usual(plan, workload),
        checks.ends_within("embeddings", EMBEDDING_LIMIT_MS, plan.dials.attainment),
    )
    return Scenario("mixed", text, workload, demands)


def agent_answers(plan: Plan) -> Scenario:
    request = plan.agent()
    workload = _poisson(plan, "agent-answers", request, 1.0, plan.objectives(request))
    text = f"questions to the agent about its knowledge base at {_rate(workload)}"
    return Scenario("agent-answers", text, workload, _usual(plan, workload))


def replica_killed(plan: Plan) -> Scenario:
    fault = plan.subject.kill_fault(plan.dials.fault_timeout_s)
    request = plan.main_request()
    dials = plan.dials
    demands = [
        checks.fault_is_done(),
        checks.failures_told(),
        checks.recovers_within(dials.recovery_s),
        checks.meets_again_within(dials.recovery_s),
    ]
    if plan.subject.main_scaling.min_replicas > 1:  # somebody else is there to answer
        demands.append(checks.only_in_flight_fail(FAULT_GRACE_S))
    workload = _under_fault(plan, "replica-killed", request, dials.recovery_s)
    text = f"{_what(request)} at {_rate(workload)}; {fault.start_text}"
    return Scenario(
        "replica-killed",
        text,
        workload,
        tuple(demands),
        fault,
        fault_at_s=_fault_at_s(plan),
        min_duration_s=dials.duration_s,
    )


def rolling_update(plan: Plan) -> Scenario:
    fault = plan.subject.update_fault(plan.dials.fault_timeout_s)
    request = plan.main_request()
    demands = (
        checks.fault_is_done(),
        checks.none_fails(),
        checks.attains(UPDATE_ATTAINMENT),
        checks.meets_again_within(plan.dials.recovery_s, after_its_end=True),
    )
    workload = _under_fault(plan, "rolling-update", request, plan.dials.fault_timeout_s)
    text = f"{_what(request)} at {_rate(workload)}; {fault.start_text}"
    return Scenario(
        "rolling-update",
        text,
        workload,
        demands,
        fault,
        fault_at_s=_fault_at_s(plan),
        min_duration_s=plan.dials.duration_s,
    )


SCENARIOS: Mapping[str, Callable[[Plan], Scenario]] = {
    "steady": steady,
    "ramp": ramp,
    "burst": burst,
    "cold-start": cold_start,
    "long-prompts": long_prompts,
    "shared-prefixes": shared_prefixes,
    "mixed": mixed,
    "agent-answers": agent_answers,
    "replica-killed": replica_killed,
    "rolling-update": rolling_update,
}


def _usual(plan: Plan, workload: Workload) -> tuple[checks.Check, ...]:
    return checks.errors_at_most(plan.dials.max_error_share), checks.attains(workload.objectives.attainment)


def _poisson(plan: Plan, name: str, request: LoadRequest, share: float, objectives: Objectives) -> Workload:
    rate = plan.rate_rps(request, share)
    arrivals = PoissonArrivals(process="poisson", rate_rps=rate)
    return plan.workload(name, arrivals, (request,), objectives, rate, warm_up_share=WARM_UP_SHARE)


def _long(plan: Plan) -> ChatRequest:
    return plan.chat(plan.long_tokens(), OUTPUT_TOKENS // 2, "long")


def _under_fault(plan: Plan, name: str, request: LoadRequest, limit_s: float) -> Workload:
    """Constant arrivals, so that every second shows how the server is; for longer than it may take."""
    rate = plan.rate_rps(request, 0.6)
    arrivals = ConstantArrivals(process="constant", rate_rps=rate)
    workload = plan.workload(name, arrivals, (request,), plan.objectives(request), rate)
    longest_s = plan.dials.duration_s + _fault_at_s(plan) + 2 * limit_s
    return workload.model_copy(update={"duration_s": longest_s})


def _fault_at_s(plan: Plan) -> float:
    return max(2.0, 0.2 * plan.dials.duration_s)


def _what(request: LoadRequest) -> str:
    return "questions to the agent" if request.kind == "agent" else "chats"


def _rate(workload: Workload) -> str:
    arrivals = workload.arrivals
    assert isinstance(arrivals, (PoissonArrivals, ConstantArrivals))
    return f"{arrivals.rate_rps:.3g} requests/s"
