"""The application under test: what its profile promises, what it serves, and how it can be reached.

The profile says what a scenario needs to know (which model scales to zero, how much a replica takes at
once), the server's own list which of it is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import psutil

from benchmarks.errors import BadTarget, BenchmarkError
from benchmarks.scenarios.faults import Fault, GivenCommand, KillReplica, RollingUpdate
from benchmarks.scenarios.processes import NotFound, application_at, deployment_of, replicas
from benchmarks.target import Target
from configs.load import Profile
from configs.schema import ExtractiveModel, ModelConfig, ScalingConfig

READY_TIMEOUT_S = 120.0
LONGEST_NAP_S = 60.0  # that is waited for a model to fall asleep


class CannotRun(BenchmarkError):
    """A scenario that this profile or target cannot do; the message is the reason that the report gives."""


@dataclass(frozen=True, slots=True)
class Commands:
    """What to do to an application whose processes are out of reach; None: nothing can be done."""

    kill: str | None = None
    update: str | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """One application.

    Args:
        target: its `model` is the chat model that is asked, "" where there is none.
        chat_model: a generative model that always runs; None: the agent is asked in its place.
        sleepy_model: a generative model that scales to zero; None: there is none.
        process: the application's first process; None: not on this machine.
        why_no_process: the reason, where there is none.
    """

    profile: Profile
    target: Target
    chat_model: ModelConfig | None
    sleepy_model: ModelConfig | None
    process: psutil.Process | None
    why_no_process: str = ""
    commands: Commands = Commands()

    @property
    def app_name(self) -> str:
        return self.profile.app_name

    @property
    def main_deployment(self) -> str:
        """The deployment that answers what is mainly asked."""
        return deployment_of(self.chat_model.name) if self.chat_model is not None else "Agent"

    @property
    def main_scaling(self) -> ScalingConfig:
        """How many replicas that deployment has, and how much each takes."""
        return (self.chat_model or self.profile.platform.agent).scaling

    def kill_fault(self, timeout_s: float) -> Fault:
        """Raises CannotRun: nothing of it can be killed from here."""
        if self.commands.kill is not None:
            return GivenCommand(self.commands.kill, timeout_s)
        return KillReplica(self._process("--kill-command"), self.app_name, self.main_deployment)

    def update_fault(self, timeout_s: float) -> Fault:
        """Raises CannotRun: it cannot be updated from here."""
        if self.commands.update is not None:
            return GivenCommand(self.commands.update, timeout_s)
        return RollingUpdate(self._process("--update-command"), self.app_name, timeout_s)

    def _process(self, flag: str) -> psutil.Process:
        if self.process is None:
            raise CannotRun(f"{self.why_no_process}; {flag} says how to do it")
        return self.process


def find_subject(
    profile: Profile, target: Target, http: httpx.Client, commands: Commands, process_id: int | None = None
) -> Subject:
    """Look at an application.

    Args:
        target: its `model` may name the chat model to ask.
        http: asks the target.
        process_id: of an application that the caller has started itself.

    Raises:
        BadTarget: it is not there, or serves nothing of the profile.
    """
    served = _served(http)
    generative = [
        model
        for model in profile.platform.models
        if model.name in served and not isinstance(model, ExtractiveModel)
    ]
    running = [model for model in generative if model.scaling.min_replicas > 0]
    if target.model:
        running = [model for model in running if model.name == target.model]
        if not running:
            raise BadTarget(
                f"{target.model} is no generative model of {profile.path} that runs at {target.url}"
            )
    if profile.platform.agent.name not in served:
        raise BadTarget(
            f"{target.url} does not serve {profile.platform.agent.name}, the agent of {profile.path}"
        )
    process, why_not = _process(target.url, process_id)
    chat_model = running[0] if running else None
    return Subject(
        profile=profile,
        target=Target(
            target.url, chat_model.name if chat_model else "", target.api_key, target.headers, target.ca_file
        ),
        chat_model=chat_model,
        sleepy_model=next((model for model in generative if model.scaling.min_replicas == 0), None),
        process=process,
        why_no_process=why_not,
        commands=commands,
    )


def wait_until_ready(
    http: httpx.Client,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return once every dependency can work.

    Raises:
        CannotRun: one cannot; the message says why.
    """
    give_up = clock() + READY_TIMEOUT_S
    while (why_not := _why_not_ready(http)) is not None:
        if clock() > give_up:
            raise CannotRun(f"the application was not ready within {READY_TIMEOUT_S:.0f} s: {why_not}")
        sleep(0.2)


def wait_until_asleep(
    subject: Subject,
    model: ModelConfig,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return once no replica of a model that scales to zero runs; at once where that cannot be seen.

    Raises:
        CannotRun: one runs, and will for longer than anybody wants to wait.
    """
    if subject.process is None:
        return
    autoscaler = model.scaling.autoscaler
    nap_s = autoscaler.downscale_to_zero_delay_s
    nap_s = autoscaler.downscale_delay_s if nap_s is None else nap_s
    give_up = clock() + min(LONGEST_NAP_S, nap_s + 15.0)
    deployment = deployment_of(model.name)
    while replicas(subject.process, subject.app_name, deployment):
        if nap_s > LONGEST_NAP_S or clock() > give_up:
            raise CannotRun(f"{model.name} is awake, and falls asleep {nap_s:g} s after its last request")
        sleep(0.5)


def _served(http: httpx.Client) -> set[str]:
    try:
        response = http.get("/v1/models")
        response.raise_for_status()
        return {str(entry["id"]) for entry in response.json()["data"]}
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as exc:
        raise BadTarget(f"{http.base_url}/v1/models: {exc or exc.__class__.__name__}") from exc


def _process(url: str, process_id: int | None) -> tuple[psutil.Process | None, str]:
    try:
        if process_id is not None:
            return psutil.Process(process_id), ""
        return application_at(url), ""
    except (NotFound, psutil.Error) as exc:
        return None, str(exc)


def _why_not_ready(http: httpx.Client) -> str | None:
    try:
        response = http.get("/readyz")
        if response.status_code == 200:
            return None
        states = response.json()["dependencies"]
        return "; ".join(
            f"{name}: {state['reason']}" for name, state in states.items() if not state["is_ready"]
        )
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as exc:
        return f"no answer from /readyz ({exc.__class__.__name__})"
