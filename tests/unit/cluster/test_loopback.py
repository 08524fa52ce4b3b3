"""What Serve gives HAProxy to read, as HAProxy gets it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cluster import loopback

CONFIG = """frontend prometheus
    bind :9101
    mode http
frontend http_frontend
    bind 192.0.2.7:8000
listen stats
  bind *:8404
  stats enable
"""


@pytest.fixture
def run(tmp_path: Path) -> list[str]:
    """The command of a HAProxy that only shows what it was given, at a place with a blank in its name."""
    shows = tmp_path / "a folder" / "shows"
    shows.parent.mkdir()
    shows.write_text('#!/bin/sh\necho "$$ $*"\n')
    shows.chmod(0o700)
    return [str(loopback.haproxy(tmp_path, str(shows)))]


def test_what_names_no_address_gets_loopback_and_the_door_keeps_its_own(
    run: list[str], tmp_path: Path
) -> None:
    config = tmp_path / "haproxy.cfg"
    config.write_text(CONFIG)
    subprocess.run([*run, "-db", "-f", config, "-sf", "17"], check=True, capture_output=True)
    expected = CONFIG.replace(" :9101", " 127.0.0.1:9101").replace("*:8404", "127.0.0.1:8404")
    assert config.read_text() == expected


def test_it_becomes_the_process_that_was_started_with_the_same_words(run: list[str], tmp_path: Path) -> None:
    config = tmp_path / "haproxy.cfg"
    config.write_text(CONFIG)
    command = [*run, "-db", "-f", config, "-sf", "17 18"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        said, _ = process.communicate()
    assert said == f"{process.pid} -db -f {config} -sf 17 18\n"


def test_a_file_that_cannot_be_rewritten_starts_nothing(run: list[str], tmp_path: Path) -> None:
    done = subprocess.run([*run, "-f", tmp_path / "none"], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""


def test_only_this_user_may_run_it(run: list[str]) -> None:
    assert Path(run[0]).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(("host", "is_bound"), [("127.0.0.1", True), ("::1", True), ("0.0.0.0", False)])
def test_ray_keeps_to_loopback_where_the_door_does(host: str, is_bound: bool) -> None:
    assert bool(loopback.ray_variables(host)) is is_bound
