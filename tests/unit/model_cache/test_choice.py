from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from configs.schema import CatalogueWeights
from serve_app.model_cache.choice import (
    Choice,
    Measured,
    choice_path,
    cpu_name,
    read_choice,
    read_choices,
    versions,
    write_choice,
)

WEIGHTS = CatalogueWeights(catalogue="all-minilm-l6-v2")
CHOICE = Choice(
    "all-minilm-l6-v2",
    2,
    cpu_name(),
    versions(),
    (Measured("onnx", "f32", 100.0, 400.0, 1.0), Measured("llamacpp", "bf16", 300.0, 120.0, 0.99997)),
)


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    path = choice_path(WEIGHTS, tmp_path, 2)
    path.parent.mkdir()
    write_choice(CHOICE, path)
    other = replace(CHOICE, num_threads=1)
    write_choice(other, choice_path(WEIGHTS, tmp_path, 1))
    assert read_choice(path) == CHOICE
    assert list(read_choices(tmp_path, "all-minilm-l6-v2")) == [other, CHOICE]
    assert CHOICE.is_current


@pytest.mark.parametrize("change", [{"cpu": "another"}, {"versions": {"onnxruntime": "0.1"}}])
def test_another_cpu_or_library_makes_it_out_of_date(change: dict[str, object]) -> None:
    assert not replace(CHOICE, **change).is_current  # type: ignore[arg-type]


def test_both_kinds_of_text_count_alike() -> None:
    assert CHOICE.best.engine == "onnx"  # 200 in the geometric mean; the other has 190


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"measured": []}', '{"measured": [{"engine": "onnx"}]}']
)
def test_a_broken_file_is_no_choice(tmp_path: Path, content: str) -> None:
    path = tmp_path / "choice.json"
    path.write_text(content)
    assert read_choice(path) is None
    assert read_choice(tmp_path / "none") is None


def test_a_choice_of_nothing_good_is_none(tmp_path: Path) -> None:
    path = tmp_path / "choice.json"
    write_choice(replace(CHOICE, measured=(Measured("onnx", "f32", 1.0, 1.0, 0.9),)), path)
    assert json.loads(path.read_text())["measured"]
    assert read_choice(path) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor\t: 0\nmodel name\t: AMD EPYC\n\nprocessor\t: 1\nmodel name\t: other\n", "AMD EPYC"),
        ("processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n", "0x41 0xd40"),
    ],
)
def test_the_name_of_the_cpu(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    assert cpu_name(path).endswith(expected)
