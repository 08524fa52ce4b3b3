"""What a vLLM model on NeuronCores has besides: the instance, what is compiled, and where that is kept."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs.neuron_instances import NEURON_INSTANCES
from configs.schema.base import Strict

Buckets = tuple[Annotated[int, Field(ge=1)], ...]


class NeuronConfig(Strict):
    """How a model runs on NeuronCores. Every shape is compiled before the first request, so shapes are named here."""

    instance_type: str | None = Field(
        default=None,
        description="EC2 instance type (`inf2.48xlarge`), so that a plan can be checked away from it; None: what the "
        "machine says of itself.",
    )
    plugin: Literal["auto", "nxd", "native"] = Field(
        default="auto",
        description="`native`: vLLM's Neuron plugin of SDK 2.32 and later, for Trn2. `nxd`: the earlier one on NxD "
        "Inference, of SDK 2.27 to 2.31, and the only one for Inf2 and Trn1. `auto`: by the instance.",
    )
    logical_core_size: Literal[1, 2] | None = Field(
        default=None,
        description="Physical cores in each core that software sees, on Trn2; None: AWS's default, 2.",
    )
    prefill_buckets: Buckets = Field(
        default=(),
        description="Lengths of prompts to compile for, in tokens, ascending; (): the plugin's own.",
    )
    decode_buckets: Buckets = Field(
        default=(),
        description="Lengths of contexts to compile writing for, in tokens, ascending; (): the plugin's own.",
    )
    batch_buckets: Buckets = Field(
        default=(),
        description="Numbers of texts at once to compile writing for, ascending (`native`); (): the plugin's own.",
    )
    compile_cache: str | None = Field(
        default=None,
        min_length=1,
        description="Where compiled programs are kept from one start to the next: a folder, or for `nxd` also an "
        "`s3://` folder. None: `neuron-cache` in MANTA_HOME, else the user's data folder. Compiling takes minutes to "
        "an hour.",
    )
    compiled_artifacts: str | None = Field(
        default=None,
        min_length=1,
        description="Folder of a model that was compiled before; it is loaded as it is, whatever else is set here.",
    )
    overrides: dict[str, object] = Field(
        default={},
        description="Further settings of the plugin, as it names them: `override_neuron_config` of `nxd`, "
        "`neuron_config` of `native`.",
    )
    device_folder: str = Field(
        default="/dev", min_length=1, description="Where the Neuron driver's devices (`neuron0`) are."
    )

    @model_validator(mode="after")
    def _known(self) -> NeuronConfig:
        if self.instance_type is not None and self.instance_type not in NEURON_INSTANCES:
            raise ValueError(
                f"instance_type {self.instance_type!r} has no NeuronCores that Manta knows; it knows: "
                f"{', '.join(NEURON_INSTANCES)}"
            )
        for name in ("prefill_buckets", "decode_buckets", "batch_buckets"):
            buckets = getattr(self, name)
            if list(buckets) != sorted(set(buckets)):
                raise ValueError(f"{name} must ascend, each number once: {list(buckets)}")
        return self
