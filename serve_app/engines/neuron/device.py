"""NeuronCores as a device of the vLLM deployment: refuse what cannot work, then say what vLLM is to be told."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from configs.load import default_home, visible_neuron_cores
from configs.neuron_instances import NEURON_INSTANCES
from configs.schema import VllmModel
from configs.schema.engines.neuron import NeuronConfig
from configs.schema.engines.vllm import EngineArgument
from serve_app.engines.neuron import launch, machine
from serve_app.engines.neuron.checks import (
    Plan,
    faults,
    package_faults,
    plan,
    shape_faults,
    unlisted_degree,
    visible_core_faults,
)
from serve_app.engines.vllm.presence import interpreter
from serve_app.errors import ConfigError

logger = logging.getLogger("manta.neuron")


class NeuronDevice:
    """NeuronCores of one node. Ray gives a replica its own by NEURON_RT_VISIBLE_CORES."""

    def __init__(self, home: Path | None = None, product_name: Path | None = None) -> None:
        """`home`: where compiled programs are kept; `product_name`: the file in which the machine names its type."""
        self._home = home
        self._product_name = product_name

    def check(self, config: VllmModel) -> None:
        """Everything but the model itself, so that nothing is fetched for a plan that cannot work."""
        made = self._plan(config)
        _refuse(config, faults(made) or self._of_this_machine(made))
        _refuse(config, package_faults(made, machine.installed(interpreter(config), made.plugin)))
        warning = unlisted_degree(made)
        if warning is not None:
            logger.warning("%s: %s", config.name, warning)

    def check_model(self, config: VllmModel, folder: Path) -> None:
        _refuse(config, shape_faults(self._plan(config), machine.model_shape(folder)))

    def arguments(self, config: VllmModel) -> dict[str, EngineArgument]:
        return launch.arguments(self._plan(config))

    def environment(self, config: VllmModel, num_cpus: int) -> dict[str, str]:
        del num_cpus  # the plugins bring their own number of threads
        return launch.environment(self._plan(config), self._home or default_home())

    def resources(self, config: VllmModel) -> dict[str, Any]:
        """Asked when the application is built, on whatever machine, so what can be known there is checked there."""
        check_plan(config)
        return {"resources": {"neuron_cores": config.tensor_parallel_size}}

    def _plan(self, config: VllmModel) -> Plan:
        """Raises ConfigError: neither the configuration nor the machine names an instance type."""
        neuron = config.neuron or NeuronConfig()
        name = neuron.instance_type or self._machines_own()
        if name is None:
            raise ConfigError(
                f"models.{config.name}.neuron.instance_type must be set: this machine does not name an instance type "
                f"with NeuronCores ({', '.join(NEURON_INSTANCES)})"
            )
        return plan(config, neuron, name)

    def _of_this_machine(self, made: Plan) -> list[str]:
        own = self._machines_own()
        if own is not None and own != made.instance.name:
            return [f"neuron.instance_type is {made.instance.name}, and this machine is a {own}"]
        num_devices = machine.num_devices(Path(made.neuron.device_folder))
        if num_devices == 0:
            return [
                f"device is neuron, and this machine shows no NeuronCores (no {made.neuron.device_folder}/neuron0): "
                "use a node that has them, with AWS's driver (aws-neuronx-dkms) and the device plugin"
            ]
        visible = visible_core_faults(made, visible_neuron_cores())
        if visible:
            return visible
        needed = made.config.tensor_parallel_size * made.logical_core_size
        cores = num_devices * made.instance.physical_cores_per_chip
        if needed > cores:
            return [
                f"tensor_parallel_size needs {needed} physical NeuronCores, and this machine shows {cores}"
            ]
        return []

    def _machines_own(self) -> str | None:
        return machine.instance_type(self._product_name) if self._product_name else machine.instance_type()


def check_plan(config: VllmModel) -> None:
    """Refuse what the configuration alone says cannot work, on whatever machine this is.

    Raises:
        ConfigError: on one line, every fault with its key. Never where no instance type is named.
    """
    neuron = config.neuron
    if config.device == "neuron" and neuron is not None and neuron.instance_type is not None:
        _refuse(config, faults(plan(config, neuron, neuron.instance_type)))


def _refuse(config: VllmModel, found: list[str]) -> None:
    if found:
        raise ConfigError("; ".join(f"models.{config.name}.{fault}" for fault in found))
