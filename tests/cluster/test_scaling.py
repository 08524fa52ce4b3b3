"""The policy where it runs: in Serve's controller, fed with what callers and replicas really report."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_replicas_come_from_zero_follow_the_queues_age_and_go_again() -> None:
    done = subprocess.run(
        [sys.executable, str(HERE / "scaling_by_work.py")],
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )
    told = [line for line in done.stdout.splitlines() if line.startswith(("replicas: ", "asleep: "))]
    assert told == [
        "replicas: 0",
        "asleep: True",
        "replicas: 1",
        "asleep: False",
        "replicas: 2",
        "replicas: 0",
        "asleep: True",
    ], done.stderr[-2000:]
    assert done.returncode == 0
