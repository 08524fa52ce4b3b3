"""The documentation against what is there: pages, commands, options, and what stands under results."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from manta.main import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GENERATED = ROOT / "docs" / "configuration.md"
_WORDS = re.compile(r"(?<![\w/.-])(?<!-n )(?<!a )manta ([a-z][a-z-]*(?: [^\n`#|;]*)?)")


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_is_linked_is_there(page: Path) -> None:
    assert [target for target in links(page) if not (page.parent / target).exists()] == []


def test_every_page_is_in_the_index() -> None:
    folder = ROOT / "docs"
    pages = {path.name for path in folder.glob("*.md")} - {"README.md"}
    assert pages <= set(links(folder / "README.md"))


def test_decisions_are_numbered_and_indexed_by_their_titles() -> None:
    folder = ROOT / "docs" / "decisions"
    records = sorted(folder.glob("[0-9]*.md"))
    assert [int(path.name[:4]) for path in records] == list(range(1, len(records) + 1))
    index = (folder / "README.md").read_text(encoding="utf-8")
    for path in records:
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        number, _, title = first.removeprefix("# ").partition(". ")
        assert number == path.name[:4]
        assert f"- [{number}]({path.name}): {title}\n" in index


def commands() -> dict[tuple[str, ...], set[str]]:
    """Words of a command -> its options; a group has those of its commands too, for `manta kb ... --url`."""
    found: dict[tuple[str, ...], set[str]] = {}

    def walk(command: click.Command, words: tuple[str, ...]) -> set[str]:
        options = {"--help", "-h", "--version"}
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                options |= {*parameter.opts, *parameter.secondary_opts}
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                child = command.get_command(context, name)
                assert child is not None
                options |= walk(child, (*words, name))
        found[words] = options
        return options

    walk(cli, ())
    return found


def shown(page: Path) -> Iterator[list[str]]:
    """The words of every `manta ...` that a page shows in code."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    code = re.findall(r"^```\w*\n(.*?)^```|`([^`\n]+)`", text, re.DOTALL | re.MULTILINE)
    for block, inline in code:
        for line in (block or inline).splitlines():
            for match in _WORDS.finditer(line.partition("  #")[0]):
                yield words_of(match[1])


def words_of(line: str) -> list[str]:
    """As a shell splits it; what is quoted are the words of another command."""
    try:
        return shlex.split(line)
    except ValueError:  # an apostrophe: prose in code
        return line.split()


def test_commands_and_options_that_are_shown_exist() -> None:
    known, wrong = commands(), []
    for page in PAGES:
        if page == GENERATED:
            continue
        for words in shown(page):
            path: tuple[str, ...] = ()
            while len(path) < len(words) and (*path, words[len(path)].rstrip(",")) in known:
                path = (*path, words[len(path)].rstrip(","))
            given = {
                word.strip("[]").partition("=")[0] for word in words if word.strip("[]").startswith("--")
            }
            if not path or given - known[path]:
                wrong.append(f"{page.name}: manta {' '.join(words)}")
    assert wrong == []
