"""A node whose wall clock can be stepped while it runs, and the fault that does so.

Nothing on the machine itself is touched: a small library (clock.c, compiled here) is loaded into the node's
processes and shifts the wall clock that their Python code sees. Ray's own C++ code keeps the machine's clock.
"""

from __future__ import annotations

import email.utils
import shutil
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.scenarios.faults import FaultFailed
from benchmarks.scenarios.subject import CannotRun

SOURCE = Path(__file__).with_name("clock.c")
HOUR_S = 3600
LOOK_TIMEOUT_S = 10.0


class SteppableClock:
    """A shift of the wall clock that processes with `environment` share."""

    def __init__(self, folder: Path) -> None:
        """Raises CannotRun: there is no C compiler, or it does not compile this."""
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise CannotRun("no C compiler (cc) is on PATH, which the library that steps a clock needs")
        library = folder / "clock.so"
        self._file = folder / "clock-offset-ns"
        self.set(0)
        done = subprocess.run(  # noqa: S603 (our own source)
            [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE), "-ldl"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise CannotRun(f"{SOURCE.name} does not compile: {done.stderr.strip().splitlines()[-1:]}")
        self.environment = {"LD_PRELOAD": str(library), "CONFORMANCE_CLOCK_FILE": str(self._file)}

    def set(self, offset_s: int) -> None:
        """Shift the clock; in place, because processes have the file mapped."""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("<q", offset_s * 1_000_000_000))


@dataclass(frozen=True, slots=True)
class StepClock:
    """An hour ahead, then two back, then right again: on one node, while the others keep the time."""

    clock: SteppableClock
    url: str
    pause_s: float = 5.0

    @property
    def start_text(self) -> str:
        return "a worker's wall clock is stepped by an hour, forth and back"

    def inject(self) -> str:
        seen = []
        try:
            for offset_s in (HOUR_S, -HOUR_S):
                self.clock.set(offset_s)
                seen.append(self._wait_until_seen(offset_s))
                time.sleep(self.pause_s)
        finally:
            self.clock.set(0)
        return f"answers were dated {seen[0]:+.0f} s and {seen[1]:+.0f} s"

    def _wait_until_seen(self, offset_s: int) -> float:
        """How far the date of an answer is off, once one is: some replica of the ingress runs on that node."""
        give_up = time.monotonic() + LOOK_TIMEOUT_S
        while time.monotonic() < give_up:
            off_s = self._how_far_off()
            if off_s is not None and abs(off_s - offset_s) < HOUR_S / 2:
                return off_s
            time.sleep(0.1)
        raise FaultFailed(f"no answer's date was {offset_s:+d} s off: no ingress replica runs on that node")

    def _how_far_off(self) -> float | None:
        try:
            answer = httpx.get(f"{self.url}/v1/models", timeout=5.0, trust_env=False)
        except httpx.HTTPError as exc:
            raise FaultFailed(f"{self.url}/v1/models: {exc or exc.__class__.__name__}") from exc
        date: str | None = answer.headers.get("date")
        if date is None:
            return None
        return float(email.utils.parsedate_to_datetime(date).timestamp() - time.time())
