"""A validation from start to end: calibrate on one model of an application, then judge on others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.errors import BenchmarkError
from benchmarks.results_folder import machine, write_json
from benchmarks.simulate.calibration.runs import calibrate_server, measure_starts
from benchmarks.simulate.calibration.service_file import read_service, write_calibration
from benchmarks.simulate.validation.comparison import Deployment, Validation, all_met, settle, validate
from benchmarks.target import Target
from configs.schema import MockModel, PlatformConfig
from configs.simulation import ServiceModel, Stack
from configs.workload import Workload

# The profile and the workloads of a validation that names no others.
PROFILE = Path(__file__).resolve().parents[1] / "profile.yaml"
WORKLOADS = Path(__file__).resolve().parents[1] / "workloads"

NUM_STARTS = 6
# Longest prompt to calibrate with: two steps of most engines, so that steps and tokens are told apart.
MAX_PROMPT_STEPS = 2


@dataclass(frozen=True, slots=True)
class Names:
    """Models of the profile: one replica to calibrate on, none to wake."""

    single: str
    asleep: str


class Session:
    """The state of a validation. `calibrate` or `use` comes first.

    Args:
        url: where the application with this platform runs.
        folder: gets calibration.json, a folder of each workload and model, and validation.json.
    """

    def __init__(
        self, platform: PlatformConfig, url: str, folder: Path, names: Names, say: Callable[[str], None]
    ) -> None:
        self._models = {model.name: model for model in platform.models}
        self._num_ingress_replicas = max(1, platform.ingress.scaling.min_replicas)
        self._url = url
        self._folder = folder
        self._names = names
        self._say = say
        self._service: ServiceModel | None = None
        self._starts_s: tuple[float, ...] = (0.0,)
        self.validations: list[Validation] = []

    @property
    def is_met(self) -> bool:
        return all_met(self.validations)

    def calibrate(self) -> None:
        """Measure the service model and starts; write calibration.json.

        Raises:
            BenchmarkError: it cannot be measured.
        """
        single = self._mock(self._names.single)
        calibration = calibrate_server(
            self._target(single.name),
            self._folder / "calibration",
            max_batched_tokens=single.max_batched_tokens,
            max_running=single.max_concurrent,
            max_prompt_tokens=MAX_PROMPT_STEPS * single.max_batched_tokens,
            say=self._say,
        )
        self._service = calibration.service
        self._starts_s = measure_starts(
            self._target(self._names.asleep), self._stack(self._names.asleep), NUM_STARTS, self._say
        )
        made = {"model": single.model_dump(mode="json"), "replica_start_s": self._starts_s}
        write_calibration(self._folder / "calibration.json", calibration, made)

    def use(self, calibration: Path) -> None:
        """Take an earlier calibration.json instead."""
        self._service = read_service(calibration)
        made = msgspec.json.decode(calibration.read_bytes())["made"]
        self._starts_s = tuple(made["replica_start_s"])
        (self._folder / "calibration.json").write_bytes(calibration.read_bytes())

    def validate(self, workload: Workload, model: str) -> Validation:
        """One workload on one model, real and simulated."""
        deployment = Deployment(self._target(model), self._stack(model))
        self._say(f"{workload.name} on {model}: waiting until it is at rest")
        settle(deployment.stack.scaling)
        self._say(f"{workload.name} on {model}: running")
        validation = validate(workload, deployment, self._folder / f"{workload.name}-{model}")
        self.validations.append(validation)
        return validation

    def write_summary(self) -> None:
        write_json(
            self._folder / "validation.json",
            {
                "is_met": self.is_met,
                "machine": machine(),
                "validations": msgspec.to_builtins(self.validations),
            },
        )

    def _mock(self, name: str) -> MockModel:
        model = self._models.get(name)
        if not isinstance(model, MockModel):
            raise BenchmarkError(f"the profile has no mock model {name!r}")
        return model

    def _target(self, name: str) -> Target:
        return Target(url=self._url, model=self._mock(name).name)

    def _stack(self, name: str) -> Stack:
        if self._service is None:
            raise BenchmarkError("nothing is calibrated yet")
        return Stack(
            service=self._service,
            scaling=self._mock(name).scaling,
            num_ingress_replicas=self._num_ingress_replicas,
            replica_start_s=self._starts_s,
        )
