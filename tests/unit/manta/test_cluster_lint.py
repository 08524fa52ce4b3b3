"""`manta cluster lint`: lines, JSON, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from manta.commands.cluster.lint import command

BAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, nam: y}\n"
ODD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {api_key: correct-horse}\n"
GOOD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: a}\ndata: {a: b}\n"


def run(*args: str, text: str = "") -> Result:
    return CliRunner(catch_exceptions=False).invoke(command, args, input=text, standalone_mode=False)


def test_a_line_says_where_what_and_the_way_out() -> None:
    done = run("-", text=BAD)
    (line,) = done.stdout.splitlines()
    assert line == (
        "-:3: error: ConfigMap x: metadata.nam: unknown field nam; did you mean name? [schema/unknown-field]"
    )
    assert done.return_value == 1


@pytest.mark.parametrize(
    ("text", "limit", "code"),
    [(GOOD, "error", 0), (ODD, "error", 0), (ODD, "warning", 1), (BAD, "never", 0), (BAD, "warning", 1)],
)
def test_exit_codes(text: str, limit: str, code: int) -> None:
    assert run("-", "--fail-on", limit, text=text).return_value == code


def test_json_has_everything() -> None:
    document = json.loads(run("-", "--json", text=ODD).stdout)
    assert document["counts"] == {"error": 0, "warning": 1, "note": 0}
    (found,) = document["findings"]
    assert (found["rule"], found["line"], found["path"]) == ("secrets/value", 4, "data.api_key")
    assert "correct-horse" not in json.dumps(document)


def test_rules_and_families_can_be_left_out() -> None:
    assert run("-", "--ignore", "schema", text=BAD).stdout == ""
    assert run("-", "--ignore", "schema/unknown-field", text=BAD).return_value == 0


def test_notes_are_shown_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: x}\n")
    assert run(str(path)).stdout == ""
    assert "note" in run(str(path), "--notes").stdout


def test_annotations_for_githubs_workflows() -> None:
    done = run("-", "--format", "github", text=BAD.replace("nam: y", '"n,%": y'))
    assert done.stdout == (
        '::error file=-,line=3,title=schema/unknown-field::ConfigMap x: metadata["n,%25"]: unknown field n,%25; '
        "remove it; known here: annotations, creationTimestamp, deletionGracePeriodSeconds, deletionTimestamp, "
        "finalizers, generateName, generation, labels and 7 more\n"
    )
    assert done.return_value == 1


def test_sarif_for_code_scanning() -> None:
    document = json.loads(run("-", "--format", "sarif", text=ODD).stdout)
    (done,) = document["runs"]
    assert document["version"] == "2.1.0"
    assert [rule["id"] for rule in done["tool"]["driver"]["rules"]] == ["secrets/value"]
    (result,) = done["results"]
    assert (result["ruleId"], result["level"]) == ("secrets/value", "warning")
    location = result["locations"][0]["physicalLocation"]
    assert location == {"artifactLocation": {"uri": "-"}, "region": {"startLine": 4}}


def test_json_by_format_is_the_same() -> None:
    assert run("-", "--format", "json", text=ODD).stdout == run("-", "--json", text=ODD).stdout
