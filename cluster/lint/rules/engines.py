"""Containers that run vLLM: options that are misspelt, and devices that they have not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cluster.lint.findings import Finding
from cluster.lint.manifest import at, error, items, mapping, warning
from cluster.lint.quantities import amount
from cluster.lint.vllm import misspelt, num_devices, words_of
from cluster.lint.world import Pods, World
from cluster.lint.yaml_text import Path


def check(world: World) -> Iterator[Finding]:
    for pods in world.pods:
        for path, container in pods.containers():
            words = words_of(container)
            if words:
                yield from _options(pods, path, container)
                yield from _devices(pods, path, container, num_devices(words))


def _options(pods: Pods, path: Path, container: Mapping[str, Any]) -> Iterator[Finding]:
    for key in ("command", "args"):
        for index, word in enumerate(items(container.get(key))):
            for part in str(word).replace("=", " ").split():
                meant = misspelt(part[2:]) if part.startswith("--") else None
                if meant is not None:
                    message = f"vLLM most likely knows no option {part}, and ends as it starts"
                    fix = f"did you mean --{meant.replace('_', '-')}?"
                    yield warning("pods/engine", pods.owner, (*path, key, index), message, fix)


def _devices(pods: Pods, path: Path, container: Mapping[str, Any], needed: int | None) -> Iterator[Finding]:
    limits = {
        **mapping(at(container, "resources", "requests")),
        **mapping(at(container, "resources", "limits")),
    }
    has = sum(
        amount(number) or 0.0 for name, number in limits.items() if str(name).endswith(("/gpu", "/tpu"))
    )
    if needed is None or not has or needed == has:
        return
    where = (*path, "resources")
    if needed > has:
        shares = "(tensor, pipeline and data parallel)"
        message = f"vLLM is to use {needed} devices {shares}, and has {has:g}: it never starts"
        yield error(
            "pods/engine", pods.owner, where, message, f"give it {needed}, or lower --tensor-parallel-size"
        )
    else:
        message = f"vLLM is to use {needed} of its {has:g} devices: the others are paid for, and idle"
        yield warning(
            "pods/engine",
            pods.owner,
            where,
            message,
            f"set --tensor-parallel-size {has:g}, or ask for {needed}",
        )
