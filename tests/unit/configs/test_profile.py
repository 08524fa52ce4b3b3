"""A profile is also a Serve config file: what stands beside `args` is checked too, because Ray leaves out what it does
not know.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs import serve_keys
from configs.load import IMPORT_PATH, ProfileError, read_profile

ARGS = {
    "models": [{"name": "mock", "engine": "mock"}],
    "embedder": {"name": "embedder", "engine": "mock", "dim": 8},
    "agent": {"models": ["mock"]},
}


def written(folder: Path, application: dict[str, Any] | None = None, **document: Any) -> Path:
    path = folder / "profile.yaml"
    applications = [{"import_path": IMPORT_PATH, "args": ARGS, **(application or {})}]
    path.write_text(yaml.safe_dump({"applications": applications, **document}), encoding="utf-8")
    return path


def test_what_is_left_out_has_defaults(tmp_path: Path) -> None:
    profile = read_profile(written(tmp_path))
    assert (profile.app_name, profile.route_prefix) == ("manta", "/")
    assert (profile.host, profile.port) == ("127.0.0.1", 8000)


@pytest.mark.parametrize(
    ("application", "document", "fault"),
    [
        ({}, {"http_optoins": {"port": 9000}}, r": http_optoins is no key of Serve's; did you mean http_options\?"),
        ({}, {"http_options": {"prot": 9000}}, r": http_options\.prot .* did you mean port\?"),
        ({"rout_prefix": "/a"}, {}, r": applications\.0\.rout_prefix .* did you mean route_prefix\?"),
        ({}, {"size": 3}, r": size is no key of Serve's; it knows applications, "),
        ({}, {"http_options": [9000]}, r": http_options must be a mapping, not \[9000\]"),
        ({"args": "models"}, {}, r": applications\.0\.args must be a mapping, not 'models'"),
        ({}, {"http_options": {"port": "9000"}}, r": http_options\.port must be a number from 1 to 65535"),
        ({"import_path": "else:build"}, {}, r": applications\.0\.import_path must be serve_app"),
        ({"args": {"modles": []}}, {}, r": .*modles: Extra inputs"),
    ],
)  # fmt: skip
def test_faults_name_the_file_and_the_key(
    tmp_path: Path, application: dict[str, Any], document: dict[str, Any], fault: str
) -> None:
    with pytest.raises(ProfileError, match=rf"profile\.yaml{fault}") as caught:
        read_profile(written(tmp_path, application, **document))
    assert "\n" not in str(caught.value)


def test_the_keys_are_those_of_rays_models(repository: Path) -> None:
    # serve_schema.json is compared with the installed Ray by a test of its own.
    stored = json.loads((repository / "cluster" / "lint" / "serve_schema.json").read_text(encoding="utf-8"))

    def part(schema: dict[str, Any]) -> dict[str, Any]:
        return part(stored["parts"][schema["$ref"]]) if "$ref" in schema else schema

    file = part(stored["schema"])["properties"]
    assert sorted(file) == list(serve_keys.FILE)
    assert sorted(part(file["http_options"])["properties"]) == list(serve_keys.HTTP)
    application = part(part(file["applications"])["items"])
    assert sorted(application["properties"]) == list(serve_keys.APPLICATION)
