from __future__ import annotations

from pathlib import Path

import pytest

from serve_app.model_cache.weight_type import native_weight_type


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "expected"),
    [
        ("x86_64", "flags\t\t: fpu avx2 avx512f avx512_bf16\nflags\t\t: fpu\n", "bf16"),
        ("x86_64", "flags\t\t: fpu amx_bf16\n", "bf16"),
        ("x86_64", "flags\t\t: fpu avx2 avx512f bf16\n", "f16"),  # "bf16" alone is Arm's word
        ("aarch64", "Features\t: fp asimd fphp i8mm bf16\n", "bf16"),
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
