"""docs/deploy.md speaks of commands, outputs, variables and versions that are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import hcl2
import pytest

from cluster.waves import waves
from manta.main import cli

ROOT = Path(__file__).resolve().parents[3]
TERRAFORM = ROOT / "terraform"
PAGE = (ROOT / "docs" / "deploy.md").read_text()
# Lines of the page's blocks, those that a backslash continues as one, without what a comment says.
LINES = [
    re.sub(r"\s+#.*$", "", line)
    for block in re.findall(r"^```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
]


def _commands() -> list[str]:
    inline = re.findall(r"`(manta [^`]+)`", PAGE)
    return sorted({line.strip() for line in [*LINES, *inline] if line.strip().startswith("manta ")})


@pytest.mark.parametrize("line", _commands())
def test_each_command_is_there_with_its_options(line: str) -> None:
    words = shlex.split(line.replace("...", ""))[1:]
    command: click.Command = cli
    context = click.Context(cli, info_name="manta")
    while isinstance(command, click.Group) and words:
        found = command.get_command(context, words.pop(0))
        assert found is not None, line
        command, context = found, click.Context(found, parent=context, info_name=found.name)
    known = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known


def _names(kind: str, *roots: str) -> set[str]:
    return {
        name.strip('"')
        for root in roots
        for path in (TERRAFORM / root).glob("*.tf")
        for block in hcl2.loads(path.read_text()).get(kind, [])
        for name in block
    }


def test_each_output_and_variable_is_terraforms() -> None:
    outputs = set(re.findall(r"terraform (?:-chdir=\S+ )?output (?:-\w+ )*(\w+)", re.sub(r"\n *", " ", PAGE)))
    assert {"controllers", "ci_role_arn", "kubeconfig_command", "redis_address"} <= outputs
    assert outputs <= _names("output", "cluster")
    assert set(re.findall(r"-var (\w+)=", PAGE)) <= _names("variable", "controllers")
    variables = _names("variable", "cluster", "controllers")
    for name in ("budget_emails", "api_cidrs", "github_repository", "deletion_protection", "nat_gateways"):
        assert f"`{name}`" in PAGE
        assert name in variables
    for path in re.findall(r"environments/[\w.]+", PAGE):
        assert (TERRAFORM / path).exists() or "NAME" in path, path


def test_versions_of_operators_are_those_that_are_installed() -> None:
    charts = (TERRAFORM / "controllers" / "main.tf").read_text()
    table = re.findall(r"^\| ([^|]+) \| ([\d.]+) \| (.*Terraform|`-var)", PAGE, re.MULTILINE)
    assert len(table) >= 8
    for operator, version, _ in table:
        assert f'"{version}"' in charts, operator


def test_the_waves_are_those_that_are_applied() -> None:
    assert re.findall(r"^\| `(\d\d-\w+)` \|", PAGE, re.MULTILINE) == [wave.name for wave in waves()]


def test_files_that_are_named_are_there() -> None:
    for path in re.findall(r"`((?:configs|docker|terraform|\.github)/[\w./-]+)`", PAGE):
        assert (ROOT / path).exists(), path
    for page in re.findall(r"\]\(([\w./-]+\.md)", PAGE):
        assert (ROOT / "docs" / page).exists(), page
