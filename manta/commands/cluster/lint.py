"""`manta cluster lint`: what is wrong with manifests, ours or anybody's."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from cluster.lint.findings import Finding, Severity, worst
from cluster.lint.lint import lint
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
@click.option("--json", "as_json", is_flag=True, help="Print JSON, notes included.")
def command(
    files: tuple[str, ...],
    schemas: tuple[Path, ...],
    fail_on: str,
    ignore: tuple[str, ...],
    notes: bool,  # noqa: FBT001 (click hands options over by name)
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
    if as_json:
        click.echo(json.dumps(document(found), indent=2))
    else:
        shown = [each for each in found if notes or each.severity > Severity.NOTE]
        for each in shown:
            click.echo(line(each))
        err.print(summary(found, num_hidden=len(found) - len(shown)), markup=False)
    limit = _WORDS.get(fail_on)
    bad = worst(found)
    return int(limit is not None and bad is not None and bad >= limit)


def line(found: Finding) -> str:
    """`chat.yaml:12: error: RayService ml/chat: spec.x: what is wrong; the way out [schema/value]`"""
    place = found.place
    word = click.style(found.severity.word, fg=_COLOURS[found.severity])
    parts = [f"{place.file}:{place.line}", word, found.about, place.path, f"{found.message}; {found.fix}"]
    return f"{': '.join(part for part in parts if part)} [{found.rule}]"


def document(found: Sequence[Finding]) -> dict[str, Any]:
    """What `--json` prints."""
    counts = Counter(each.severity for each in found)
    return {
        "counts": {severity.word: counts[severity] for severity in sorted(Severity, reverse=True)},
        "findings": [
            {
                "severity": each.severity.word,
                "rule": each.rule,
                "file": each.place.file,
                "document": each.place.document,
                "line": each.place.line,
                "object": each.about,
                "path": each.place.path,
                "message": each.message,
                "fix": each.fix,
            }
            for each in found
        ],
    }


def summary(found: Sequence[Finding], *, num_hidden: int) -> str:
    """`2 errors, 1 warning, 3 notes (--notes shows them)`"""
    counts = Counter(each.severity for each in found)
    said = [
        f"{counts[each]} {each.word}{'s' * (counts[each] != 1)}" for each in sorted(Severity, reverse=True)
    ]
    return ", ".join(said) + (" (--notes shows them)" if num_hidden else "")


def _is_ignored(found: Finding, ignore: Sequence[str]) -> bool:
    return any(found.rule == rule or found.rule.startswith(f"{rule}/") for rule in ignore)
