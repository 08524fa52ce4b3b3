"""`manta cluster lint`: what is wrong with manifests, ours or anybody's."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from cluster.lint.findings import Finding, Severity, worst
from cluster.lint.lint import lint
from cluster.lint.report import annotation, document, line, sarif, summary
from manta.console import err

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "blue"}
_WORDS = {severity.word: severity for severity in Severity}


@click.command("lint", short_help="Say what is wrong with manifests, ours or anybody's.")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, allow_dash=True))
@click.option(
    "--schemas",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="File or folder with CRDs of kinds that are not known here, or in other versions.",
)
@click.option(
    "--fail-on",
    type=click.Choice([*_WORDS, "never"]),
    default="error",
    show_default=True,
    help="The mildest finding for which the exit code is 1.",
)
@click.option(
    "--ignore", multiple=True, metavar="RULE", help="Leave out a rule, or a family of rules: `head`."
)
@click.option("--notes", is_flag=True, help="Show notes too.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github", "sarif"]),
    default="text",
    show_default=True,
    help="`json` and `sarif` have the notes; `github` prints annotations for a workflow.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def command(
    files: tuple[str, ...],
    schemas: tuple[Path, ...],
    fail_on: str,
    ignore: tuple[str, ...],
    notes: bool,  # noqa: FBT001 (click hands options over by name)
    form: str,
    as_json: bool,  # noqa: FBT001
) -> int:
    """Look at FILES: YAML or JSON files, folders, kustomizations, `-` for standard input.

    An error is refused by the API server, the operator or Ray, or cannot work; a warning most likely does something
    else than was meant; a note may be worth knowing. Exit code: 0 nothing as bad as --fail-on, 1 something is, 2 the
    files could not be read. docs/lint.md has the rules.
    """
    found = [
        each for each in lint(files, schemas=schemas, stdin=sys.stdin.read) if not _is_ignored(each, ignore)
    ]
    if as_json or form == "json":
        click.echo(json.dumps(document(found), indent=2))
    elif form == "sarif":
        click.echo(json.dumps(sarif(found), indent=2))
    else:
        shown = [each for each in found if notes or each.severity > Severity.NOTE]
        for each in shown:
            click.echo(annotation(each) if form == "github" else _coloured(each))
        err.print(summary(found, num_hidden=len(found) - len(shown)), markup=False)
    limit = _WORDS.get(fail_on)
    bad = worst(found)
    return int(limit is not None and bad is not None and bad >= limit)


def _coloured(found: Finding) -> str:
    return line(found, word=click.style(found.severity.word, fg=_COLOURS[found.severity]))


def _is_ignored(found: Finding, ignore: Sequence[str]) -> bool:
    return any(found.rule == rule or found.rule.startswith(f"{rule}/") for rule in ignore)
