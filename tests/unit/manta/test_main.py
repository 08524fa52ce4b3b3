"""What a person sees of a fault: one line, and an exit code that a script can act on."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import NoReturn

import click
import httpx
import pytest
from click.testing import CliRunner

from benchmarks.errors import BadTarget
from configs.load import ProfileError
from manta import main
from manta.client import MantaClient, ServerError
from manta.profile_options import profile_argument, profile_option
from serve_app.errors import StorageFull

REQUEST = httpx.Request("GET", "http://127.0.0.1:8000/readyz")


def outcome(monkeypatch: pytest.MonkeyPatch, fault: BaseException) -> int:
    """The exit code of a command that ends with the fault."""

    def cli(*, standalone_mode: bool) -> NoReturn:
        raise fault

    monkeypatch.setattr(main, "cli", cli)
    with pytest.raises(SystemExit) as left:
        main.main()
    assert isinstance(left.value.code, int)
    return left.value.code


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (StorageFull("no space left in /data for x"), 2, "manta: no space left in /data for x"),
        (ProfileError("a.yaml: no such\nfile"), 2, "manta: a.yaml: no such file"),
        (BadTarget("it serves no model"), 2, "manta: it serves no model"),
        (PermissionError(errno.EACCES, "Permission denied", "results"), 2, "manta: results: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "manta: No space left on device"),
        (httpx.InvalidURL("Invalid port: 'x'"), 2, "manta: that is no address of a server: Invalid port: 'x'"),
        (httpx.UnsupportedProtocol("no http://", request=REQUEST), 2, "manta: that is no address of a server: no "),
        (httpx.ConnectError("refused", request=REQUEST), 2, "manta: cannot reach http://127.0.0.1:8000/readyz"),
        (httpx.ReadTimeout("late", request=REQUEST), 2, "manta: no answer in time from http://127.0.0.1:8000"),
        (click.UsageError("name a source"), 2, "Error: name a source"),
        (click.exceptions.Abort(), 130, "manta: interrupted"),
        (KeyboardInterrupt(), 130, "manta: interrupted"),
    ],
)  # fmt: skip
def test_a_fault_is_one_line_and_a_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: BaseException,
    code: int,
    said: str,
) -> None:
    assert outcome(monkeypatch, fault) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(said)
    assert shown.err.count("\n") == 1


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TimeoutError):
        outcome(monkeypatch, TimeoutError())


@pytest.mark.parametrize("body", [b"<html>", b"[1]"])
def test_a_server_that_is_no_manta_is_called_so(body: bytes) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
    with (
        MantaClient("http://test", transport=transport) as client,
        pytest.raises(ServerError, match="http://test/v1/knowledge/status gave no JSON object"),
    ):
        client.knowledge_status()


@click.command()
@profile_argument
def by_argument(profile: Path) -> None:
    click.echo(profile)


@click.command()
@profile_option("What is asked.")
def by_option(profile: Path) -> None:
    click.echo(profile)


@pytest.mark.parametrize(
    ("command", "words"), [(by_argument, ("x.yaml",)), (by_option, ("--profile", "x.yaml"))]
)
def test_the_default_profile_is_the_same_everywhere(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    repository: Path,
    command: click.Command,
    words: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MANTA_PROFILE", raising=False)
    assert CliRunner().invoke(command, []).output.strip() == str(repository / "configs" / "local.yaml")
    monkeypatch.setenv("MANTA_PROFILE", "mine.yaml")
    assert CliRunner().invoke(command, []).output.strip() == "mine.yaml"
    assert CliRunner().invoke(command, words).output.strip() == "x.yaml"
