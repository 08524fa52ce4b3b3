"""Ray's own commands take the same file: `serve run`, `serve build`, `serve deploy`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

BIN = Path(sys.executable).parent
PROFILE = Path(__file__).with_name("plain.yaml")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A home of its own, a Ray of its own, and the profile of the tests for callers that name none."""
    return os.environ | {
        "MANTA_HOME": str(tmp_path / "home"),
        "MANTA_PROFILE": str(PROFILE),
        "RAY_ADDRESS": "local",
        "RAY_USAGE_STATS_ENABLED": "0",
    }


@pytest.fixture
def profile(tmp_path: Path, free_port: Callable[[], int]) -> tuple[Path, str]:
    """A copy of the tests' profile on a free port, and its address."""
    document = yaml.safe_load(PROFILE.read_text())
    document["http_options"]["port"] = port = free_port()
    path = tmp_path / "profile.yaml"
    path.write_text(yaml.safe_dump(document))
    return path, f"http://127.0.0.1:{port}"


@contextmanager
def running(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as sink:
        process = subprocess.Popen(command, env=environment, stdout=sink, stderr=sink)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=60)
        finally:
            process.kill()


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path, status: int = 200) -> httpx.Response:
    give_up = time.monotonic() + 180
    while time.monotonic() < give_up:
        assert process.poll() is None, log.read_text()
        try:
            response = httpx.get(url, timeout=5, trust_env=False)
            if response.status_code == status:
                return response
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"{url}: no answer in time: {log.read_text()}")


def test_serve_run_serves_the_profile(
    profile: tuple[Path, str], environment: dict[str, str], tmp_path: Path
) -> None:
    path, url = profile
    log = tmp_path / "log"
    with running([str(BIN / "serve"), "run", str(path)], environment, log) as process:
        wait_for(f"{url}/readyz", process, log)
        answer = httpx.post(
            f"{url}/v1/chat/completions",
            json={"model": "mock", "messages": [{"role": "user", "content": "hello"}]},
            timeout=30,
            trust_env=False,
        )
        assert answer.json()["usage"]["completion_tokens"] == 32


def test_serve_build_writes_a_config_of_the_default_profile(
    environment: dict[str, str], tmp_path: Path
) -> None:
    document = yaml.safe_load(PROFILE.read_text())
    scaling = {"min_replicas": 0, "max_replicas": 3, "max_ongoing_requests": 7, "max_queued_requests": 9}
    document["applications"][0]["args"]["models"][0]["scaling"] = scaling
    (tmp_path / "default.yaml").write_text(yaml.safe_dump(document))
    environment["MANTA_PROFILE"] = str(tmp_path / "default.yaml")
    built = tmp_path / "built.yaml"
    command = [str(BIN / "serve"), "build", "serve_app.default:app", "-o", str(built)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (application,) = yaml.safe_load(built.read_text())["applications"]
    deployments = {deployment["name"]: deployment for deployment in application["deployments"]}
    assert {"Ingress", "Agent", "KnowledgeBase", "Embedder", "Model-extractive"} <= deployments.keys()
    mock = deployments["Model-mock"]
    # The replicas queue and refuse by their profile: Serve's own limits have to let all of that reach them.
    assert mock["max_ongoing_requests"] > 7 + 9
    assert mock["max_queued_requests"] == 3 * mock["max_ongoing_requests"]
    assert (mock["autoscaling_config"]["min_replicas"], mock["autoscaling_config"]["max_replicas"]) == (0, 3)


@pytest.mark.slow
def test_serve_deploy_sends_the_profile_to_a_running_ray(
    profile: tuple[Path, str], environment: dict[str, str], free_port: Callable[[], int], tmp_path: Path
) -> None:
    path, url = profile
    log = tmp_path / "log"
    port, dashboard = free_port(), free_port()
    # Ray puts sockets there, and their paths may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="manta-ray-", ignore_cleanup_errors=True) as folder:
        start = ["start", "--head", "--block", "--port", str(port), "--temp-dir", folder, "--num-cpus", "2"]
        start += ["--include-dashboard", "true", "--dashboard-port", str(dashboard)]
        start += ["--node-ip-address", "127.0.0.1", "--disable-usage-stats"]
        with running([str(BIN / "ray"), *start], environment | {"RAY_AUTH_MODE": "disabled"}, log) as ray:
            wait_for(f"http://127.0.0.1:{dashboard}/api/version", ray, log)
            command = [str(BIN / "serve"), "deploy", str(path), "-a", f"http://127.0.0.1:{dashboard}"]
            subprocess.run(command, env=environment, capture_output=True, timeout=120, check=True)
            names = {model["id"] for model in wait_for(f"{url}/v1/models", ray, log).json()["data"]}
    assert {"mock", "extractive", "embedder", "manta"} <= names
