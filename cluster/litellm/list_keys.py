"""Writes `known_keys.json`: every key that this version of LiteLLM knows. LiteLLM ignores those that it does not know.

Runs in LiteLLM's own environment: `make gateway-lock`.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import json
from pathlib import Path
from typing import Any

TARGET = Path(__file__).with_name("known_keys.json")
# Read from the file by name, and no attributes of the module.
_ONLY_IN_THE_FILE = frozenset({"cache_params", "callbacks", "success_callback", "failure_callback"})


def main() -> None:
    import litellm  # type: ignore[import-not-found,unused-ignore]
    from litellm.proxy._types import ConfigGeneralSettings  # type: ignore[import-not-found,unused-ignore]
    from litellm.types.router import LiteLLM_Params, ModelInfo  # type: ignore[import-not-found,unused-ignore]

    found = {
        "general_settings": set(ConfigGeneralSettings.model_fields),
        "litellm_params": set(LiteLLM_Params.model_fields),
        "litellm_settings": _settings(vars(litellm)) | _ONLY_IN_THE_FILE,
        "model_info": set(ModelInfo.model_fields),
        "router_settings": set(inspect.signature(litellm.Router.__init__).parameters) - {"self"},
    }
    document = {"version": importlib.metadata.version("litellm")} | {
        section: sorted(keys) for section, keys in found.items()
    }
    TARGET.write_text(json.dumps(document, indent=1) + "\n")


def _settings(attributes: dict[str, Any]) -> set[str]:
    """Attributes that a configuration file can set: plain values with plain names."""
    plain = (bool, int, float, str, list, dict, set, type(None))
    return {
        name
        for name, value in attributes.items()
        if name.islower() and not name.startswith("_") and isinstance(value, plain)
    }


if __name__ == "__main__":
    main()
