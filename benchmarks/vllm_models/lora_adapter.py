"""A LoRA adapter of the tiny model, with random weights, in PEFT's format.

python -m benchmarks.vllm_models.lora_adapter FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.vllm_models.tensors import write_tensors
from benchmarks.vllm_models.tiny_qwen3 import TINY

ALPHA_PER_RANK = 2


def write_adapter(folder: Path, *, rank: int = 4, seed: int = 1, num_inputs: int | None = None) -> None:
    """The adapter's folder. It changes the text of the model whatever the prompt.

    Args:
        folder: to be made.
        rank: inner size of its matrices.
        seed: of its weights.
        num_inputs: of all its matrices, as if for another model; None: as the tiny model has them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    tensors: dict[str, NDArray[np.float32]] = {}
    targets = [name for name, _, _ in TINY.projections() if name.startswith("self_attn")]
    for layer in range(TINY.num_layers):
        for name, num_out, num_in in TINY.projections():
            if name in targets:
                prefix = f"base_model.model.model.layers.{layer}.{name}"
                shape = rank, num_inputs or num_in
                tensors[f"{prefix}.lora_A.weight"] = rng.standard_normal(shape, dtype=np.float32)
                tensors[f"{prefix}.lora_B.weight"] = rng.standard_normal((num_out, rank), dtype=np.float32)
    write_tensors(folder / "adapter_model.safetensors", tensors)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": ALPHA_PER_RANK * rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": [name.rpartition(".")[2] for name in targets],
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_adapter(Path(sys.argv[1]))
