"""The two vLLM plugins for NeuronCores: what each runs on, needs, and calls the same things.

    native   vLLM's Neuron plugin of Neuron SDK 2.32 and later; Trn2
    nxd      the earlier one, on NxD Inference, SDK 2.27 to 2.31, in maintenance; Inf2, Trn1 and Trn2

Sources, read 2026-11: awsdocs-neuron.readthedocs-hosted.com, "vLLM Neuron plugin: configuration options", "How to
set up vLLM Neuron", "vLLM user guide for NxD Inference"; awslabs.github.io/accelerated-compute-tutorials, "vLLM + NxDI
(Classic)", which says which vLLM each stands on.

PyTorch's side of the native one: AWS's set-up page names torch_neuronx, and what it ships is libtorch-neuronx-lite. The
plugin (0.24, `vllm_neuron.envs`) takes the latter unless VLLM_NEURON_LIBTORCH_NEURONX_LITE is 0, and AWS's image of SDK
2.32 has it alone. Either will do here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from configs.neuron_instances import Family

INDEX = "https://pip.repos.neuron.amazonaws.com"
SOURCES = "https://github.com/vllm-project/vllm-neuron.git"


@dataclass(frozen=True, slots=True)
class Package:
    """A distribution that must be there."""

    name: str
    module: str  # that only the real one has: the placeholders on PyPI have no code
    least: tuple[int, int] | None = None  # version; None: whatever the plugin brought
    series: tuple[int, int] | None = None  # the one series of versions that will do
    instead: tuple[Package, ...] = ()  # any of these will do as well

    @property
    def words(self) -> str:
        """Its name, and the others."""
        return " or ".join([self.name, *(other.name for other in self.instead)])

    @property
    def wanted(self) -> str:
        """The pin, as pip writes it."""
        if self.series is not None:
            return f"=={self.series[0]}.{self.series[1]}.*"
        return f">={self.least[0]}.{self.least[1]}" if self.least else ""

    def accepts(self, version: str) -> bool:
        match = re.match(r"(\d+)\.(\d+)", version)
        if match is None:
            return False
        begin = int(match[1]), int(match[2])
        return (self.least is None or begin >= self.least) and (self.series is None or begin == self.series)


@dataclass(frozen=True, slots=True)
class Plugin:
    """One of the two, in the words that differ."""

    name: str
    families: frozenset[Family]
    sdk: str
    packages: tuple[Package, ...]
    branch: str | None  # of SOURCES; None: its default
    section: str  # of --additional-config
    framework: str  # PyTorch's side, as AWS's image brings it

    @property
    def distributions(self) -> dict[str, str]:
        """Every distribution that may be asked for -> the module that only the real one has."""
        every = [one for package in self.packages for one in (package, *package.instead)]
        return {one.name: one.module for one in every}

    def how_to_install(self) -> str:
        """What a person does where the packages are absent. What is on PyPI under these names is not it."""
        branch = f"--branch {self.branch} " if self.branch else ""
        return (
            f"on AWS's Neuron image (Neuron SDK {self.sdk}, which brings the driver, neuronx-cc and "
            f"{self.framework}): "
            f"git clone {branch}{SOURCES} && pip install --extra-index-url={INDEX} -e ./vllm-neuron "
            "(PyPI's own packages of these names are placeholders)"
        )


_TORCH_NEURONX = Package("torch-neuronx", "torch_neuronx")
_COMMON = (Package("neuronx-cc", "neuronxcc"), Package("vllm-neuron", "vllm_neuron"))
NATIVE = Plugin(
    name="native",
    families=frozenset({"trn2"}),
    sdk="2.32 or later",
    packages=(
        Package("vllm", "vllm", least=(0, 24)),
        Package("libtorch-neuronx-lite", "libtorch_neuronx_lite", instead=(_TORCH_NEURONX,)),
        *_COMMON,
    ),
    branch=None,
    section="neuron_config",
    framework="libtorch-neuronx-lite",
)
NXD = Plugin(
    name="nxd",
    families=frozenset({"inf2", "trn1", "trn2"}),
    sdk="2.27 to 2.31",
    packages=(
        Package("vllm", "vllm", series=(0, 13)),
        _TORCH_NEURONX,
        *_COMMON,
        Package("neuronx-distributed-inference", "neuronx_distributed_inference"),
    ),
    branch="0.2.1-lts",
    section="override_neuron_config",
    framework="torch-neuronx",
)
_BY_NAME = {plugin.name: plugin for plugin in (NATIVE, NXD)}


def plugin_of(name: str, family: Family) -> Plugin:
    """The plugin of that name; for `auto` the newest that runs on the family."""
    if name != "auto":
        return _BY_NAME[name]
    return NATIVE if family in NATIVE.families else NXD
