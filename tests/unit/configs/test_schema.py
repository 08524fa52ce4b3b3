from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from configs.load import ProfileError, parse_platform, read_profile, secret
from configs.reference import parts, render
from configs.schema import SecretRef

PROFILES = sorted((Path(__file__).resolve().parents[3] / "configs").glob("*.yaml"))


def small(**changes: Any) -> dict[str, Any]:
    config: dict[str, Any] = {
        "models": [{"name": "m", "engine": "mock"}],
        "embedder": {"name": "e", "engine": "mock"},
        "agent": {"models": ["m"]},
    }
    return config | changes


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.name)
def test_every_profile_in_the_repository_can_be_used(path: Path) -> None:
    assert read_profile(path).platform.models


def test_the_tree_is_frozen() -> None:
    config = parse_platform(small())
    with pytest.raises(ValueError, match="frozen"):
        config.agent.num_passages = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"modles": []}, "modles: Extra inputs"),
        ({"models": []}, "models: Tuple should have at least 1 item"),
        ({"models": [{"name": "m", "engine": "vlm"}]}, "models.0: Input tag 'vlm'"),
        ({"models": [{"name": "m", "engine": "mock", "ttft": 3}]}, "models.0.mock.ttft: Extra inputs"),
        ({"agent": {"models": ["other"]}}, "agent.models names 'other', which is none of: m"),
        ({"agent": {"models": ["m"], "name": "m"}}, "the name 'm' is given twice"),
        ({"embedder": {"name": "m", "engine": "mock"}}, "the name 'm' is given twice"),
        (
            {"models": [{"name": "m", "engine": "mock", "optional": True}]},
            "needs one model that is not optional",
        ),
        (
            {"models": [{"name": "m", "engine": "mock", "scaling": {"min_replicas": 3}}]},
            "min_replicas 3 is above max_replicas 1",
        ),
        (
            {"knowledge": {"scaling": {"max_replicas": 2}}},
            "store has one writer",
        ),
        ({"knowledge": {"chunking": {"max_tokens": 40, "overlap_tokens": 30}}}, "overlap_tokens 30"),
        ({"agent": {"models": ["m"], "gate": {"correct_at": 0.2, "incorrect_below": 0.25}}}, "0.25 is above"),
    ],
)
def test_a_fault_is_named_on_one_line(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ProfileError) as caught:
        parse_platform(small(**changes))
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("applications: [", "is not YAML"),
        ("[]", "is not a Serve config file"),
        ("applications: []", "needs exactly one entry"),
        ("applications: [{import_path: other:app}]", "import_path must be serve_app.app:build"),
        ("\x00", "is not YAML"),
    ],
)
def test_a_broken_profile_names_the_file(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(ProfileError, match=r"p\.yaml") as caught:
        read_profile(path)
    assert fault in str(caught.value)


def test_a_profile_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"none\.yaml: no such file"):
        read_profile(tmp_path / "none.yaml")


def test_a_secret_is_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = SecretRef(env="MANTA_TEST_KEY")
    monkeypatch.delenv("MANTA_TEST_KEY", raising=False)
    with pytest.raises(ProfileError, match="MANTA_TEST_KEY is not set"):
        secret(reference)
    monkeypatch.setenv("MANTA_TEST_KEY", "value")
    assert secret(reference) == "value"
    assert "value" not in repr(reference)


def test_the_reference_page_is_up_to_date(repository: Path) -> None:
    assert (repository / "docs" / "configuration.md").read_text() == render(), "run: make docs"


def test_no_two_sections_of_the_page_have_the_same_anchor() -> None:
    names = [part.__name__.lower() for part in parts()]
    assert sorted(names) == sorted(set(names))


def test_every_field_has_a_description() -> None:
    bare = [
        f"{part.__name__}.{name}"
        for part in parts()
        for name, info in part.model_fields.items()
        if not info.description and name not in ("engine", "kind", "process", "distribution")
    ]
    assert bare == []


def test_profiles_are_serve_config_files() -> None:
    from ray.serve.schema import ServeDeploySchema

    for path in PROFILES:
        ServeDeploySchema.model_validate(yaml.safe_load(path.read_text()))
