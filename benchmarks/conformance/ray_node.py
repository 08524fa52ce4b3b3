"""One node of a Ray cluster on this machine: `ray start --block` and everything below it.

Knows processes and nothing of Serve. Ends only what it has started, by process id.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from benchmarks.errors import BenchmarkError
from benchmarks.scenarios.processes import below, is_gone

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 15.0
NUM_ATTEMPTS = 3  # Ray gives a node half a minute to start, which a busy machine may need more than once
_STARTED = "Ray runtime started"


class NodeFailed(BenchmarkError):
    """A node did not start; the message has its last words."""


class RayNode:
    """A node.

    Args:
        name: what it is called here and in Ray.
        arguments: of `ray start`, without `--block`.
        environment: of all its processes, beside this process' own.
        folder: of its own; its log lies there.
    """

    def __init__(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        self.arguments = arguments
        self.environment = environment
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / "node.log"
        self._seen: set[psutil.Process] = set()  # a first process that fails leaves the others behind
        self._node_id: str | None = None  # of the node as it was started last

    def start(self) -> None:
        """Start it; returns once its raylet runs.

        Raises:
            NodeFailed: it ended, or is not there in time.
        """
        for attempt in range(1, NUM_ATTEMPTS + 1):
            self._spawn()
            try:
                self._wait()
            except NodeFailed:
                self.stop()
                if attempt == NUM_ATTEMPTS:
                    raise
            else:
                self._node_id = self.node_id()
                return

    def _spawn(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        # In it Ray finds a head's own address again, takes the workers on this machine for that head, and refuses.
        (self._folder / "ray_current_cluster").unlink(missing_ok=True)
        inherited = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 (our own command)
                [_ray(), "start", "--block", *self.arguments],
                env=inherited | dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us alone
            )

    def _wait(self) -> None:
        assert self._process is not None
        give_up = time.monotonic() + START_TIMEOUT_S
        while _STARTED not in self._log.read_text(errors="replace"):
            self._seen.update(self._all())
            if self._process.poll() is not None:
                raise NodeFailed(f"the node {self.name} did not start: {self._last_words()}")
            if time.monotonic() > give_up:
                raise NodeFailed(f"the node {self.name} did not start within {START_TIMEOUT_S:.0f} s")
            time.sleep(0.2)

    @property
    def is_running(self) -> bool:
        """Whether its raylet runs."""
        return self.raylet() is not None

    def raylet(self) -> psutil.Process | None:
        found = self.below(is_raylet)
        return found[0] if found else None

    def node_id(self) -> str | None:
        """What Ray calls it, in hex digits; None: it does not run."""
        raylet = self.raylet()
        return node_id_of(raylet.cmdline()) if raylet is not None else None

    def below(self, is_wanted: Callable[[Sequence[str]], bool]) -> list[psutil.Process]:
        """Its running processes whose command line is wanted; oldest first."""
        root = self._root()
        return below(root, is_wanted) if root is not None else []

    def kill(self) -> int:
        """End all its processes at once, as a machine that loses its power; how many there were."""
        return _kill([*self._all(), *self._left()])

    def stop(self) -> None:
        """End it as an administrator does; what is left after that is killed."""
        everything = [*self._all(), *self._left()]
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        _, left = psutil.wait_procs(everything, timeout=STOP_TIMEOUT_S)
        _kill(left)
        if self._process is not None:
            self._process.wait()

    def _all(self) -> list[psutil.Process]:
        """The first process, then all others; nothing once it has ended."""
        root = self._root()
        return [root, *below(root, lambda _: True)] if root is not None else []

    def _left(self) -> list[psutil.Process]:
        """Those that outlive their parents: HAProxy's configuration lies in a folder with the node's id."""
        named = processes_that_name(self._node_id) if self._node_id is not None else []
        return [process for process in {*self._seen, *named} if not is_gone(process)]

    def _root(self) -> psutil.Process | None:
        if self._process is None or self._process.poll() is not None:
            return None
        try:
            return psutil.Process(self._process.pid)
        except psutil.NoSuchProcess:
            return None

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def run_ray(arguments: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> str:
    """What a command of Ray's says.

    Raises:
        NodeFailed: it failed, or took too long.
    """
    text = f"ray {shlex.join(arguments)}"
    try:
        done = subprocess.run(  # noqa: S603 (our own command)
            [_ray(), *arguments],
            env=os.environ | dict(environment),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as exc:
        raise NodeFailed(f"{text}: not over within {timeout_s:g} s") from exc
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise NodeFailed(f"{text}: exit code {done.returncode}: {' '.join(said)}")
    return done.stdout


def processes_that_name(text: str) -> list[psutil.Process]:
    """Those with a text in their command line; of this user, on a system that hides others'."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(text in word for word in process.info["cmdline"] or ())
    ]


def is_raylet(command: Sequence[str]) -> bool:
    return bool(command) and Path(command[0]).name == "raylet"


def node_id_of(command: Sequence[str]) -> str | None:
    """The node's id in a raylet's command line."""
    for word in command:
        name, _, value = word.partition("=")
        if name in ("--node_id", "--node-id"):
            return value
    return None


def _ray() -> str:
    """Ray's command of this interpreter's environment."""
    return str(Path(sys.executable).with_name("ray"))


def _kill(processes: Sequence[psutil.Process]) -> int:
    num = 0
    for process in processes:
        try:
            if not is_gone(process):
                process.kill()  # psutil refuses if the process id belongs to another process by now
                num += 1
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=5.0)
    return num
