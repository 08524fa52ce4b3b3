from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import httpx
import psutil
import pytest

from benchmarks.errors import BadTarget
from benchmarks.scenarios import subject as module
from benchmarks.scenarios.faults import GivenCommand, KillReplica, RollingUpdate
from benchmarks.scenarios.knowledge import client_for
from benchmarks.scenarios.processes import NotFound
from benchmarks.scenarios.subject import (
    CannotRun,
    Commands,
    Subject,
    find_subject,
    wait_until_asleep,
    wait_until_ready,
)
from benchmarks.target import Target
from configs.load import Profile
from configs.schema import AutoscalerConfig

URL = "http://server:8000"


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def serving(*names: str) -> httpx.Client:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/models"
        return httpx.Response(200, json={"data": [{"id": name} for name in names]})

    return client_for(Target(URL, ""), httpx.MockTransport(answer))


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_here(url: str) -> psutil.Process:
        raise NotFound("server is not this machine")

    monkeypatch.setattr(module, "application_at", not_here)


def find(
    profile: Profile, *names: str, model: str = "", commands: Commands | None = None, pid: int | None = None
) -> Subject:
    target = Target(URL, model, api_key="k")
    return find_subject(profile, target, serving(*names), commands or Commands(), pid)


ALL = ("mock", "sleepy", "extractive", "embedder", "manta")


def test_roles_come_from_the_profile(bench_profile: Profile) -> None:
    found = find(bench_profile, *ALL)
    assert found.chat_model is not None
    assert found.sleepy_model is not None
    assert (found.chat_model.name, found.sleepy_model.name) == ("mock", "sleepy")
    assert (found.target.model, found.target.api_key) == ("mock", "k")
    assert found.main_deployment == "Model-mock"


def test_what_is_not_served_has_no_role(bench_profile: Profile, local_profile: Profile) -> None:
    found = find(bench_profile, "extractive", "embedder", "manta")
    assert (found.chat_model, found.sleepy_model, found.target.model) == (None, None, "")
    assert found.main_deployment == "Agent"
    found = find(local_profile, "extractive", "all-minilm-l6-v2", "manta")
    assert found.chat_model is None
    with_weights = find(local_profile, "qwen2.5-1.5b-instruct", "extractive", "all-minilm-l6-v2", "manta")
    assert with_weights.main_deployment == "Model-qwen2.5-1.5b-instruct"


@pytest.mark.parametrize("model", ["sleepy", "extractive", "gpt"])
def test_a_model_that_cannot_be_asked_is_refused(bench_profile: Profile, model: str) -> None:
    with pytest.raises(BadTarget, match=f"{model} is no generative model"):
        find(bench_profile, *ALL, model=model)


def test_another_application_is_refused(bench_profile: Profile) -> None:
    with pytest.raises(BadTarget, match="does not serve manta"):
        find(bench_profile, "llama")


def test_a_server_that_is_not_there_is_told(bench_profile: Profile) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    http = client_for(Target(URL, ""), httpx.MockTransport(refuse))
    with pytest.raises(BadTarget, match=f"{URL}/v1/models: connection refused"):
        find_subject(bench_profile, Target(URL, ""), http, Commands())


class TestFaults:
    def test_on_this_machine(self, bench_profile: Profile) -> None:
        found = find(bench_profile, *ALL, pid=psutil.Process().pid)
        kill, update = found.kill_fault(9), found.update_fault(9)
        assert isinstance(kill, KillReplica)
        assert (kill.app_name, kill.deployment) == ("manta", "Model-mock")
        assert isinstance(update, RollingUpdate)
        assert update.application == psutil.Process()

    def test_elsewhere_without_commands(self, bench_profile: Profile) -> None:
        found = find(bench_profile, *ALL)
        with pytest.raises(CannotRun, match="server is not this machine; --kill-command says"):
            found.kill_fault(9)
        with pytest.raises(CannotRun, match="server is not this machine; --update-command says"):
            found.update_fault(9)

    def test_commands_win(self, bench_profile: Profile) -> None:
        found = find(bench_profile, *ALL, commands=Commands("kubectl delete", "kubectl apply"))
        assert found.kill_fault(9) == GivenCommand("kubectl delete", 9)
        assert found.update_fault(9) == GivenCommand("kubectl apply", 9)


class TestReadiness:
    def answers(self, *responses: httpx.Response | Exception) -> httpx.Client:
        left = list(responses)

        def answer(request: httpx.Request) -> httpx.Response:
            response = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(response, Exception):
                raise response
            return response

        return client_for(Target(URL, ""), httpx.MockTransport(answer))

    def not_ready(self) -> httpx.Response:
        states = {"mock": {"is_ready": False, "reason": "starting"}, "manta": {"is_ready": True}}
        return httpx.Response(503, json={"dependencies": states})

    def test_it_waits(self) -> None:
        clock = Clock()
        http = self.answers(httpx.ConnectError("x"), self.not_ready(), httpx.Response(200))
        wait_until_ready(http, clock, clock.sleep)
        assert clock.now_s == pytest.approx(0.4)

    @pytest.mark.parametrize(
        ("index", "words"), [(0, "mock: starting"), (1, "no answer from /readyz"), (2, "no answer")]
    )
    def test_it_gives_up_and_says_why(self, index: int, words: str) -> None:
        clock = Clock()
        response = [self.not_ready(), httpx.ReadTimeout("x"), httpx.Response(502, text="bad gateway")][index]
        with pytest.raises(CannotRun, match=words):
            wait_until_ready(self.answers(response), clock, clock.sleep)
        assert clock.now_s < 130


class TestSleep:
    def sleepy(self, profile: Profile, **autoscaler: Any) -> tuple[Subject, Any]:
        found = find(profile, *ALL, pid=psutil.Process().pid)
        assert found.sleepy_model is not None
        scaling = found.sleepy_model.scaling.model_copy(update={"autoscaler": AutoscalerConfig(**autoscaler)})
        return found, found.sleepy_model.model_copy(update={"scaling": scaling})

    def awake_for(self, monkeypatch: pytest.MonkeyPatch, num_looks: float) -> Callable[[], float]:
        looks = {"num": 0.0}

        def replicas(*_: object) -> list[str]:
            looks["num"] += 1
            return ["a replica"] if looks["num"] <= num_looks else []

        monkeypatch.setattr(module, "replicas", replicas)
        return lambda: looks["num"]

    def test_it_waits_for_the_last_replica(
        self, bench_profile: Profile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock, (found, model) = Clock(), self.sleepy(bench_profile, downscale_to_zero_delay_s=10)
        self.awake_for(monkeypatch, 4)
        wait_until_asleep(found, model, clock, clock.sleep)
        assert clock.now_s == pytest.approx(2.0)

    def test_one_that_stays_awake_is_not_run(
        self, bench_profile: Profile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock, (found, model) = Clock(), self.sleepy(bench_profile, downscale_to_zero_delay_s=10)
        self.awake_for(monkeypatch, 1e9)
        with pytest.raises(CannotRun, match="sleepy is awake"):
            wait_until_asleep(found, model, clock, clock.sleep)
        assert clock.now_s < 120

    def test_nobody_waits_for_ten_minutes(
        self, bench_profile: Profile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock, (found, model) = Clock(), self.sleepy(bench_profile)
        num_looks = self.awake_for(monkeypatch, 1e9)
        with pytest.raises(CannotRun, match="falls asleep 600 s after its last request"):
            wait_until_asleep(found, model, clock, clock.sleep)
        assert num_looks() == 1

    def test_where_nothing_is_seen_nothing_is_waited_for(self, bench_profile: Profile) -> None:
        found, model = self.sleepy(bench_profile)
        clock = Clock()
        wait_until_asleep(dataclasses.replace(found, process=None), model, clock, clock.sleep)
        assert clock.now_s == 0.0
