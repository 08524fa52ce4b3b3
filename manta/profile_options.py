"""Which profile a command is about, said the same way by all of them.

Without a word it is MANTA_PROFILE, else configs/local.yaml of Manta's folder: the same from every working directory.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from configs.load import default_profile

Command = TypeVar("Command", bound=Callable[..., Any])

_PATH = click.Path(path_type=Path)
_DEFAULT = "MANTA_PROFILE, else configs/local.yaml"


def profile_argument(command: Command) -> Command:
    """`PROFILE`, which may be left out."""
    return click.argument("profile", type=_PATH, default=default_profile)(command)


def profile_option(what: str) -> Callable[[Command], Command]:
    """`--profile PATH`; `what` says what of it is used."""
    return click.option("--profile", type=_PATH, default=default_profile, show_default=_DEFAULT, help=what)
