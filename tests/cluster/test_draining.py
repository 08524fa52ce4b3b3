"""A replica learns that it is drained, from a real Serve: fails when a new Ray moves what `draining` looks at."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

# The application's: 8 s of grace, told 3 s before their end.
TOLD_AFTER_S = 5.0
GRACE_S = 8.0


@pytest.mark.parametrize("is_fast_path", [True, False], ids=["throughput mode", "Serve's defaults"])
def test_a_replica_is_told_before_its_grace_time_is_over(repository: Path, is_fast_path: bool) -> None:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(repository), os.environ["PYTHONPATH"]]),
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": str(int(is_fast_path)),
        # By default Serve raises the grace time of what clients reach to more than half a minute.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    # Short, because Ray puts Unix sockets there.
    with tempfile.TemporaryDirectory(prefix="drained-") as folder:
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("drained.py")), folder],
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
    (told,) = [line for line in done.stdout.splitlines() if line.startswith("told: ")] or [done.stderr]
    _, before, at_end, seconds = told.split()
    assert (before, at_end) == ("False", "True")
    # Early by no more than a look, and in time for the last words of its streams.
    assert TOLD_AFTER_S - 0.5 < float(seconds) < GRACE_S
