"""What this machine, the engine's environment and a model's folder say of themselves: the checks' facts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from configs.neuron_instances import NEURON_INSTANCES
from serve_app.engines.neuron.checks import Installed, ModelShape
from serve_app.engines.neuron.plugins import Plugin

# EC2's Nitro instances name their type as their product.
_PRODUCT_NAME = Path("/sys/devices/virtual/dmi/id/product_name")
_TIMEOUT_S = 60.0

# Runs in the engine's interpreter, standard library only: {distribution: [version, has its module]}.
_ASK = """
import importlib.metadata, importlib.util, json, sys
found = {}
for name, module in json.loads(sys.argv[1]).items():
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        continue
    spec = importlib.util.find_spec(module)
    found[name] = [version, spec is not None and bool(spec.origin or spec.submodule_search_locations)]
print(json.dumps(found))
"""


def instance_type(product_name: Path = _PRODUCT_NAME) -> str | None:
    """The type of this EC2 instance if it has NeuronCores that we know, else None."""
    try:
        name = product_name.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
    return name if name in NEURON_INSTANCES else None


def num_devices(folder: Path) -> int:
    """Chips that the Neuron driver shows."""
    return sum(path.name.removeprefix("neuron").isdigit() for path in folder.glob("neuron*"))


def installed(python: Path, plugin: Plugin) -> Mapping[str, Installed]:
    """Which of the plugin's packages an interpreter's environment has; imports none of them."""
    wanted = json.dumps(plugin.distributions)
    done = subprocess.run(  # noqa: S603 (the interpreter that the configuration names, which will run vLLM)
        [str(python), "-c", _ASK, wanted],
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )
    if done.returncode:
        return {}
    found: dict[str, list[object]] = json.loads(done.stdout.splitlines()[-1])
    return {name: Installed(str(version), bool(has_module)) for name, (version, has_module) in found.items()}


def model_shape(folder: Path) -> ModelShape:
    """From config.json, a multimodal model's text part included, and the sizes of the weights."""
    try:
        document = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        document = {}
    text = document.get("text_config", document)
    sizes = [path.stat().st_size for path in folder.glob("*.safetensors")]
    heads = text.get("num_attention_heads")
    return ModelShape(heads, text.get("num_key_value_heads", heads), sum(sizes) if sizes else None)
