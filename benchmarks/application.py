"""An application to measure: one that runs already, or one started for the run with a fresh knowledge base."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.errors import BenchmarkError
from configs.load import default_home
from configs.ports import free_port

READY_TIMEOUT_S = 300.0
_STOP_TIMEOUT_S = 60.0
# Ray gives a node 30 s to start, which no setting changes and a busy machine can take.
_RAY_GAVE_UP = "timed out during startup"
_NUM_STARTS = 3
_CRASH = "Fatal Python error"
_MANTA = (sys.executable, "-m", "manta")


class CannotStart(BenchmarkError):
    """The application did not become ready; the message is its own last words."""


@dataclass(frozen=True, slots=True)
class Started:
    """An application that was started for a measurement."""

    url: str
    process_id: int
    seconds_to_ready: float


def write_profile(path: Path, platform: Mapping[str, object]) -> Path:
    """A profile that `manta up` takes, as JSON, which is YAML too; returns its path."""
    application = {
        "name": "manta",
        "route_prefix": "/",
        "import_path": "serve_app.app:build",
        "args": platform,
    }
    document = {"http_options": {"host": "127.0.0.1", "port": 8000}, "applications": [application]}
    path.write_text(json.dumps(document, indent=2), encoding="utf-8")
    return path


@contextmanager
def application(url: str | None, profile: Path, *, timeout_s: float = READY_TIMEOUT_S) -> Iterator[str]:
    """The base URL of a ready application: the one named, or one that is started and stopped here."""
    if url is not None:
        yield url.rstrip("/")
    else:
        with started(profile, timeout_s=timeout_s) as fresh:
            yield fresh.url


@contextmanager
def started(profile: Path, *, timeout_s: float = READY_TIMEOUT_S) -> Iterator[Started]:
    """Start a profile with a fresh knowledge base, and stop it at the end.

    Args:
        profile: the file.
        timeout_s: that it has to be ready.

    Raises:
        CannotStart: it was not ready in time, or ended before.
    """
    with fresh_home() as home, started_in(home, profile, timeout_s=timeout_s) as fresh:
        yield fresh


@contextmanager
def fresh_home() -> Iterator[Path]:
    """A home for an application, empty but for the weights, which it shares with the user's own."""
    with tempfile.TemporaryDirectory(prefix="manta-bench-") as folder:
        home = Path(folder) / "home"
        home.mkdir()
        models = default_home() / "models"
        models.mkdir(parents=True, exist_ok=True)
        (home / "models").symlink_to(models, target_is_directory=True)
        yield home


@contextmanager
def started_in(
    home: Path, profile: Path, *, timeout_s: float = READY_TIMEOUT_S, **environment: str
) -> Iterator[Started]:
    """Start a profile in a home that may have been prepared, and stop it at the end.

    Raises:
        CannotStart: it was not ready in time, or ended before.
    """
    port = free_port()
    command = [*_MANTA, "up", str(profile), "--port", str(port), "--stop-with-stdin"]
    url, variables = f"http://127.0.0.1:{port}", {"MANTA_HOME": str(home), **environment}
    with served(command, url, "/readyz", timeout_s, **variables) as fresh:
        yield fresh


def manta(home: Path, *words: str) -> str:
    """What a command of ours writes to its standard output.

    Raises:
        CannotStart: it failed; the message is its last words.
    """
    done = subprocess.run(  # noqa: S603 (our own command)
        [*_MANTA, *words],
        env=os.environ | {"MANTA_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=READY_TIMEOUT_S,
    )
    if done.returncode:
        raise CannotStart(f"manta {words[0]}: {last_words(done.stderr)}")
    return done.stdout.strip()


@contextmanager
def served(
    command: Sequence[str],
    url: str,
    ready_path: str = "/readyz",
    timeout_s: float = READY_TIMEOUT_S,
    /,
    **environment: str,
) -> Iterator[Started]:
    """Start a server as a process, wait until it says 200 at `ready_path`, and stop it at the end.

    Args:
        command: of a process that stops when its standard input ends, so that it outlives nobody.
        url: where it will listen.
        ready_path: where it says whether it is ready.
        timeout_s: that it has for that.
        environment: variables that it gets besides this process's own.

    Raises:
        CannotStart: it was not ready in time, or ended before.
    """
    with tempfile.TemporaryDirectory(prefix="manta-bench-") as folder:
        process, seconds_to_ready = _start(
            command, url + ready_path, environment, Path(folder) / "log", timeout_s
        )
        try:
            yield Started(url, process.pid, seconds_to_ready)
        finally:
            _stop(process)


def _start(
    command: Sequence[str], ready_url: str, environment: Mapping[str, str], log_path: Path, timeout_s: float
) -> tuple[subprocess.Popen[bytes], float]:
    """(the ready process, the seconds that it took); tried again where Ray did not wait for its own node."""
    for number in range(1, _NUM_STARTS + 1):
        began = time.perf_counter()
        with log_path.open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 (our own command)
                command,
                env=os.environ | environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        try:
            _wait_until_ready(ready_url, process, log_path, timeout_s)
        except CannotStart as exc:
            _stop(process)
            if number == _NUM_STARTS or _RAY_GAVE_UP not in str(exc):
                raise
        except BaseException:
            _stop(process)
            raise
        else:
            return process, time.perf_counter() - began
    raise AssertionError("the last start returned or raised")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()  # not SIGINT, which a shell's background jobs ignore
    try:
        process.wait(timeout=_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()  # what is below it ends with it, less gently
        process.wait()
    assert process.stdin is not None
    process.stdin.close()


def _wait_until_ready(ready_url: str, process: subprocess.Popen[bytes], log: Path, timeout_s: float) -> None:
    give_up = time.monotonic() + timeout_s
    while time.monotonic() < give_up:
        if process.poll() is not None:
            raise CannotStart(last_words(log.read_text(errors="replace")))
        try:
            if httpx.get(ready_url, timeout=5.0, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise CannotStart(f"{ready_url} did not answer 200 within {timeout_s:.0f} s")


def path_beginning_with(folder: Path) -> str:
    """The variable PATH with a folder first, as in an environment that is activated."""
    return os.pathsep.join([str(folder), os.environ.get("PATH", os.defpath)])


def last_words(log: str) -> str:
    """The line of a log that says best why its process ended: the last one before a crash, else the last one."""
    before, crash, _ = log.partition(_CRASH)
    lines = [line for line in before.splitlines() if line.strip()]
    return lines[-1] if lines else crash or "it said nothing"
