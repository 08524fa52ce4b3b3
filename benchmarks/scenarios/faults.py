"""What is done to an application while it serves: a replica killed, every replica replaced.

For an application on this machine by signals; elsewhere by commands that the user gives.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import psutil

from benchmarks.errors import BenchmarkError
from benchmarks.scenarios.processes import is_gone, replicas

LOOK_EVERY_S = 0.2


class FaultFailed(BenchmarkError):
    """What should have been done to the server could not be, or had no effect in time."""


class Fault(Protocol):
    """Something that is done once, in a thread of its own."""

    @property
    def start_text(self) -> str:
        """What begins: "one replica of X is killed"."""

    def inject(self) -> str:
        """Do it; returns what was done, once it is over.

        Raises:
            FaultFailed: it could not be done, or is not over in time.
        """


@dataclass(frozen=True, slots=True)
class KillReplica:
    """SIGKILL to one replica, and to nothing else."""

    application: psutil.Process
    app_name: str
    deployment: str

    @property
    def start_text(self) -> str:
        return f"a replica of {self.deployment} is killed"

    def inject(self) -> str:
        found = replicas(self.application, self.app_name, self.deployment)
        if not found:
            raise FaultFailed(f"no replica of {self.deployment} runs")
        # psutil refuses if the process id belongs to another process by now.
        try:
            found[0].kill()
        except psutil.Error as exc:
            raise FaultFailed(f"cannot kill process {found[0].pid}: {exc}") from exc
        return f"killed process {found[0].pid}, one of {len(found)}"


@dataclass(frozen=True, slots=True)
class RollingUpdate:
    """SIGHUP to `manta up`, which replaces every replica; over when none of the old ones is left."""

    application: psutil.Process
    app_name: str
    timeout_s: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    @property
    def start_text(self) -> str:
        return "every replica is replaced"

    def inject(self) -> str:
        old = replicas(self.application, self.app_name)
        start_s = self.clock()
        try:
            self.application.send_signal(signal.SIGHUP)
        except psutil.Error as exc:
            raise FaultFailed(f"cannot send SIGHUP to process {self.application.pid}: {exc}") from exc
        while left := [process for process in old if not is_gone(process)]:
            if is_gone(self.application):
                raise FaultFailed("the application ended")
            if self.clock() - start_s > self.timeout_s:
                raise FaultFailed(
                    f"{len(left)} of {len(old)} replicas were not replaced within {self.timeout_s:g} s"
                )
            self.sleep(LOOK_EVERY_S)
        return f"replaced {len(old)} replicas in {self.clock() - start_s:.1f} s"


@dataclass(frozen=True, slots=True)
class GivenCommand:
    """A command of the user's, without a shell; over when it ends."""

    command: str
    timeout_s: float

    @property
    def start_text(self) -> str:
        return self.command

    def inject(self) -> str:
        start_s = time.monotonic()
        self.output()
        return f"ended after {time.monotonic() - start_s:.1f} s"

    def output(self) -> str:
        """What it says on standard output, once it has ended.

        Raises:
            FaultFailed: it could not be run, failed, or did not end in time.
        """
        try:
            done = subprocess.run(  # noqa: S603 (the user's own words, and no shell)
                shlex.split(self.command),
                capture_output=True,
                text=True,
                timeout=self.timeout_s,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired as exc:
            raise FaultFailed(f"{self.command}: not over within {self.timeout_s:g} s") from exc
        except (OSError, ValueError) as exc:  # not there; or quotes that do not end
            raise FaultFailed(f"{self.command}: {exc}") from exc
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise FaultFailed(
                f"{self.command}: exit code {done.returncode}: {' '.join(said) or 'said nothing'}"
            )
        return done.stdout
