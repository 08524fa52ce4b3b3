"""`serve run configs/local-vllm.yaml`, as Ray's own users start an application, with the official client."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
START_S = 1500.0


@pytest.fixture
def url(tmp_path: Path, free_port: Callable[[], int], on_device: dict[str, Any]) -> Iterator[str]:
    """Of the repository's own profile, on a Ray of its own."""
    port, gcs_port = free_port(), free_port()
    document = yaml.safe_load((ROOT / "configs" / "local-vllm.yaml").read_text())
    document["http_options"]["port"] = port
    chat = document["applications"][0]["args"]["models"][0]
    del chat["num_threads"]
    chat |= on_device | {"start_timeout_s": START_S}
    profile, log = tmp_path / "profile.yaml", tmp_path / "log"
    profile.write_text(yaml.safe_dump(document))
    variables = os.environ | {
        "MANTA_HOME": str(tmp_path / "home"),
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ADDRESS": f"127.0.0.1:{gcs_port}",
    }
    # Ray puts sockets there, and their paths may have 107 characters.
    with (
        tempfile.TemporaryDirectory(prefix="manta-ray-", ignore_cleanup_errors=True) as folder,
        log.open("wb") as sink,
    ):
        start = ["start", "--head", "--block", "--port", str(gcs_port), "--temp-dir", folder]
        start += ["--num-cpus", "8", "--node-ip-address", "127.0.0.1"]
        start += ["--include-dashboard", "false", "--disable-usage-stats"]
        processes: list[subprocess.Popen[bytes]] = []

        def wait_until(holds: Callable[[], bool]) -> None:
            give_up = time.monotonic() + START_S
            while not holds():
                assert all(process.poll() is None for process in processes), log.read_text()
                assert time.monotonic() < give_up, log.read_text()
                time.sleep(0.5)

        try:
            for command in ([str(BIN / "ray"), *start], [str(BIN / "serve"), "run", str(profile)]):
                processes.append(subprocess.Popen(command, env=variables, cwd=ROOT, stdout=sink, stderr=sink))
                wait_until(lambda: "Ray runtime started" in log.read_text())
            wait_until(lambda: _is_ready(f"http://127.0.0.1:{port}"))
            yield f"http://127.0.0.1:{port}"
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait(timeout=120)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=30, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_it_streams_tools_to_the_official_client(
    url: str, stream_call: Callable[[str], tuple[str, Any]]
) -> None:
    name, arguments = stream_call(url)
    assert name == "weather"
    assert arguments["days"] in (1, 2, 3)
