from __future__ import annotations

from pathlib import Path

import pytest

from serve_app.model_cache.weight_type import choose_weight_type, native_weight_type


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "expected"),
    [
        ("x86_64", "flags\t\t: fpu avx2 avx512f avx512_bf16\nflags\t\t: fpu\n", "bf16"),
        ("x86_64", "flags\t\t: fpu amx_bf16 avx512_bf16\n", "bf16"),
        ("x86_64", "flags\t\t: fpu avx2 avx512f bf16\n", "f16"),  # "bf16" alone is Arm's word
        # llama.cpp has no code for it there, so the CPU's instructions do not help.
        ("aarch64", "Features\t: fp asimd asimdhp i8mm bf16 sve\n", "f16"),
        ("aarch64", "Features\t: fp asimd fphp\n", "f16"),
        ("x86_64", "", "f16"),
    ],
)
def test_the_type_that_the_cpu_multiplies(tmp_path: Path, machine: str, cpuinfo: str, expected: str) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(cpuinfo)
    assert native_weight_type(path, machine) == expected


def test_a_system_without_cpuinfo(tmp_path: Path) -> None:
    assert native_weight_type(tmp_path / "missing", "arm64") == "f16"


def test_the_choice_says_why(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("flags\t: avx512_bf16\n")
    assert "avx512_bf16" in choose_weight_type(path, "x86_64").reason
    path.write_text("Features\t: asimd asimdhp bf16\n")
    assert "no fast BF16" in choose_weight_type(path, "aarch64").reason
