"""Options that the verbs share: which server, which workload, where results go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from benchmarks.target import Target
from configs.load import secret
from configs.schema import SecretRef

Command = TypeVar("Command", bound=Callable[..., Any])


def target_options(function: Command) -> Command:
    """--url, --model, --api-key-env, --header, --ca-file, --tokenizer."""
    return click.option(
        "--url",
        default="http://127.0.0.1:8000",
        show_default=True,
        help="The server, with or without /v1 at the end.",
    )(server_options(function))


def server_options(function: Command) -> Command:
    """The same without the address."""
    options = [
        click.option("--model", default=None, help="Model to ask; may be left out where there is only one."),
        click.option(
            "--api-key-env", default=None, metavar="NAME", help="Environment variable that holds the API key."
        ),
        click.option(
            "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="Sent with every request."
        ),
        click.option(
            "--ca-file",
            type=click.Path(exists=True, dir_okay=False),
            default=None,
            help="Certificates to trust, for https.",
        ),
        click.option(
            "--tokenizer",
            default="auto",
            show_default=True,
            help="What counts tokens: the server's /tokenize (`tokenize`), its usage (`usage`), the better one "
            "(`auto`), or a tokenizer.json on this machine.",
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def target_of(
    url: str, model: str | None, api_key_env: str | None, headers: tuple[str, ...], ca_file: str | None
) -> Target:
    """The server under test, as the options name it; `model` may still be empty.

    Raises:
        ProfileError: the variable of the key is not set.
    """
    url = url.rstrip("/").removesuffix("/v1")
    if not url.startswith(("http://", "https://")):
        url = f"http://{url}"
    return Target(
        url=url,
        model=model or "",
        api_key=secret(SecretRef(env=api_key_env)) if api_key_env else None,
        headers=tuple(_header(text) for text in headers),
        ca_file=ca_file,
    )


def out_option(function: Command) -> Command:
    """--out: where results folders are made."""
    return click.option(
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path("results"),
        show_default=True,
        help="Folder that results folders are made in.",
    )(function)


def workers_option(function: Command) -> Command:
    """--workers: how many processes send."""
    return click.option(
        "--workers",
        "num_workers",
        type=click.IntRange(1, 256),
        default=None,
        help="Processes that send; without it, as many as the busiest second needs.",
    )(function)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or any(mark in text for mark in "\r\n"):
        raise click.BadParameter(f"{text!r} is not 'NAME: VALUE'", param_hint="--header")
    return name.strip().lower(), value.strip()
