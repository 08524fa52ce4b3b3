"""Processes that benchmarks start end when whoever started them is gone."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("function", "code"), [("exit_with_input", 0), ("terminate_with_input", -signal.SIGTERM)]
)
def test_the_end_of_the_input_is_the_end_of_the_process(function: str, code: int) -> None:
    start = f"from benchmarks.input_end import {function}; {function}()"
    script = f"import time; {start}; print('on', flush=True); time.sleep(600)"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        process.stdin.write("what is said does not matter")
        process.stdin.close()
        assert process.wait(120) == code
