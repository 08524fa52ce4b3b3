"""The tree of files: the same every time, each object in its layer, nothing removed that a render did not write."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cluster.render.files import compare, write
from cluster.render.text import as_yaml
from cluster.render.tree import render
from configs.load import read_profile
from serve_app.errors import ConfigError

ROOT = Path(__file__).resolve().parents[4]
PROFILES = ("eks-graviton", "eks-gpu", "eks-neuron")


def rendered(name: str) -> dict[str, str]:
    return render(read_profile(ROOT / "configs" / f"{name}.yaml"))


@pytest.mark.parametrize("name", PROFILES)
def test_kustomizations_name_every_file_and_no_other(name: str) -> None:
    files = rendered(name)
    root = yaml.safe_load(files["kustomization.yaml"])
    layers = [path.split("/")[0] for path in files if path.endswith("/kustomization.yaml")]
    assert root["resources"] == sorted(layers)
    for layer in layers:
        named = yaml.safe_load(files[f"{layer}/kustomization.yaml"])["resources"]
        there = {path.split("/", 1)[1] for path in files if path.startswith(f"{layer}/")}
        assert set(named) == there - {"kustomization.yaml"}
        assert len(named) == len(set(named))


def test_the_same_profile_gives_the_same_text() -> None:
    assert rendered("eks-gpu") == rendered("eks-gpu")


@pytest.mark.parametrize("name", PROFILES)
def test_no_object_is_there_twice(name: str) -> None:
    seen = set()
    for path, text in rendered(name).items():
        if not path.endswith(".yaml") or path.endswith("kustomization.yaml") or not path[:2].isdigit():
            continue
        for one in yaml.safe_load_all(text):
            key = (one["apiVersion"], one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"])
            assert key not in seen
            seen.add(key)


def test_texts_of_several_lines_stay_readable() -> None:
    text = as_yaml([{"script": "one\ntwo\n", "twice": [1, 1]}], "made\nby us")
    assert text == "# made\n# by us\nscript: |\n  one\n  two\ntwice:\n- 1\n- 1\n"


def test_a_second_render_changes_nothing(tmp_path: Path) -> None:
    files = {"a.yaml": "a: 1\n", "sub/b.yaml": "b: 2\n"}
    assert write(files, tmp_path / "out") == ["+ a.yaml", "+ sub/b.yaml"]
    assert write(files, tmp_path / "out") == []
    assert compare(files, tmp_path / "out") == []


def test_what_is_rendered_no_more_is_removed_and_nothing_else(tmp_path: Path) -> None:
    write({"a.yaml": "a: 1\n", "sub/b.yaml": "b: 2\n"}, tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    assert compare({"a.yaml": "a: 2\n"}, tmp_path) == ["~ a.yaml", "- sub/b.yaml"]
    assert write({"a.yaml": "a: 2\n"}, tmp_path) == ["~ a.yaml", "- sub/b.yaml"]
    assert not (tmp_path / "sub").exists()
    assert (tmp_path / "mine.txt").exists()


def test_somebody_elses_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("years of work")
    with pytest.raises(ConfigError, match="did not write"):
        write({"a.yaml": "a: 1\n"}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]


def test_a_list_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.yaml"
    outside.write_text("keep")
    folder = tmp_path / "out"
    write({"a.yaml": "a: 1\n"}, folder)
    (folder / ".rendered").write_text("a.yaml\n../outside.yaml\n")
    write({"a.yaml": "a: 1\n"}, folder)
    assert outside.read_text() == "keep"
