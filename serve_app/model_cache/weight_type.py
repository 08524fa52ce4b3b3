"""Which 16-bit type llama.cpp multiplies fastest on this machine's CPU."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

WeightType = Literal["f32", "f16", "bf16"]

_ARM = ("aarch64", "arm64")
_BF16_OF_X86 = ("avx512_bf16",)


@dataclass(frozen=True, slots=True)
class WeightChoice:
    """A type, and why it."""

    weight_type: WeightType
    reason: str


def native_weight_type(cpuinfo: Path = Path("/proc/cpuinfo"), machine: str | None = None) -> WeightType:
    """The type of `choose_weight_type`."""
    return choose_weight_type(cpuinfo, machine).weight_type


def choose_weight_type(cpuinfo: Path = Path("/proc/cpuinfo"), machine: str | None = None) -> WeightChoice:
    """bf16 where the CPU and llama.cpp multiply it natively (a third faster there, measured), else f16.

    What llama.cpp does is in its ggml-cpu/llamafile/sgemm.cpp and vec.cpp, as of llama-cpp-python 0.3.36: BF16 has
    its own instructions on x86 (`avx512_bf16`, which every CPU with `amx_bf16` has too; its AMX code is for
    quantised types only). On Arm it has nothing for BF16, whatever the CPU can (Graviton 3 has `bf16`): one value
    after the other. F16 has vectors there (`asimdhp`), and elsewhere is converted eight or sixteen at a time.
    """
    flags = _flags(cpuinfo)
    if (machine or platform.machine()) in _ARM:
        speed = "which it multiplies natively" if "asimdhp" in flags else "which it converts quickly"
        return WeightChoice("f16", f"an Arm CPU, {speed}; llama.cpp has no fast BF16 there")
    found = [flag for flag in _BF16_OF_X86 if flag in flags]
    if found:
        return WeightChoice("bf16", f"the CPU multiplies it natively ({found[0]})")
    return WeightChoice("f16", "the CPU has no BF16 instructions")


def _flags(cpuinfo: Path) -> frozenset[str]:
    """Of the first CPU, in Linux' words; empty where the system does not say (macOS)."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    named = (line.partition(":")[2] for line in lines if line.startswith(("flags", "Features")))
    return frozenset(next(named, "").split())
