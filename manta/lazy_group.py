"""A group of commands whose modules are imported when they are called, so that `--help` loads nothing heavy."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click


class LazyGroup(click.Group):
    """Subcommands by module name: `PACKAGE.NAME` has a click command called `command`.

    Args:
        package: where the modules are.
        commands: name -> one line about it, in the order in which help shows them.
    """

    def __init__(
        self, *args: object, package: str, commands: Mapping[str, str], **attributes: object
    ) -> None:
        super().__init__(*args, **attributes)  # type: ignore[arg-type]
        self._package = package
        self._commands = commands

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._commands:
            return None
        module = importlib.import_module(f"{self._package}.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self._commands.items()))
