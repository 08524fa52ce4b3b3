"""The three applications: without the gate, with it, and with the web besides. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

ARMS = ("no_gate", "gate", "gate_web")


def platform(arm: str, base: Mapping[str, Any], judge: str | None, web: Path) -> dict[str, Any]:
    """The `args` of an arm's profile.

    Args:
        base: the arguments of the profile that the arms are made of.
        judge: of the arms with a gate; None: they have its first stage alone.
        web: the fixture's pages.
    """
    agent = dict(base["agent"])
    if arm == "no_gate":
        # Every passage is used as it is, and no answer is looked at.
        gate = dict(agent.get("gate", {})) | {"correct_at": 0.0, "incorrect_below": 0.0}
        agent |= {"gate": gate, "judge": None, "helper": None, "withhold_at": 1.0}
    else:
        agent |= {"judge": judge}
    args = {key: value for key, value in base.items() if key != "web_search"} | {"agent": agent}
    if arm == "gate_web":
        args["web_search"] = {"provider": {"kind": "fixture", "path": str(web)}}
    return args
