"""LiteLLM's proxy on this machine, in an environment of its own: started, awaited, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import httpx
import yaml

from cluster.litellm.render import gateway_of, names_of, render
from configs.load import Profile, secret
from configs.schema import SecretRef
from configs.schema.base import secrets_of
from serve_app.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_PYTHON = ROOT / ".venv-gateway" / "bin" / "python"
START_TIMEOUT_S = 300.0  # five on an idle machine
END_TIMEOUT_S = 15.0


def as_yaml(profile: Profile, upstream: str | None = None) -> str:
    """LiteLLM's configuration file for a profile.

    Raises:
        ProfileError: see `render`.
    """
    gateway = gateway_of(profile.platform)
    address = upstream or gateway.upstream or f"http://{profile.host}:{profile.port}"
    text: str = yaml.safe_dump(render(profile.platform, address), sort_keys=False)
    return "# Written by: manta gateway render. Change the profile, not this file.\n" + text


@contextlib.contextmanager
def running(
    profile: Profile, *, python: Path = DEFAULT_PYTHON, port: int | None = None, upstream: str | None = None
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The proxy's address and process, once it answers; it has ended when the block is left.

    Raises:
        ConfigError: its environment is not installed, or it does not start; the message has its last words.
        ProfileError: the profile's, or a secret that is not set.
    """
    gateway = gateway_of(profile.platform)
    if not python.exists():
        raise ConfigError(f"LiteLLM is not installed: {python} is not there; make .venv-gateway installs it")
    port = port or gateway.port
    with tempfile.TemporaryDirectory(prefix="manta-gateway-") as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(as_yaml(profile, upstream))
        log = Path(folder) / "log"
        with log.open("wb") as sink:
            process = subprocess.Popen(  # noqa: S603 (an interpreter that the operator names)
                _command(python, port, gateway.num_workers),
                env=_environment(profile, config),
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(url, process, log)
            yield url, process
        finally:
            _end(process)


def end_with_signals(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM and SIGINT of this process end the other, so that waiting for it returns."""

    def end(number: int, frame: FrameType | None) -> None:
        process.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


def _command(python: Path, port: int, num_workers: int) -> list[str]:
    options = {
        "--host": "127.0.0.1",
        "--port": str(port),
        "--workers": str(num_workers),
        "--log-level": "warning",
    }
    pairs = [part for pair in options.items() for part in pair]
    return [str(python), "-m", "uvicorn", "cluster.litellm.proxy:app", *pairs]


def _environment(profile: Profile, config: Path) -> dict[str, str]:
    """This process' own, with what LiteLLM wants: its secrets, no look at the network, and our file beside it."""
    gateway = gateway_of(profile.platform)
    secrets = {name: secret(SecretRef(env=name)) for name in sorted(secrets_of(gateway))}
    redis = profile.platform.door.redis
    if redis is not None and redis.password is not None:
        secrets[redis.password.env] = secret(redis.password)
    trusted = profile.platform.door.authentication.gateway
    if trusted is not None:
        secrets["MANTA_GATEWAY_SECRET"] = secret(trusted.secret)
    return os.environ | secrets | {
        "CONFIG_FILE_PATH": str(config),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MODE": "PRODUCTION",
        "MANTA_GATEWAY_MODELS": ",".join(names_of(profile.platform)),
        "PYTHONPATH": str(ROOT),
    }  # fmt: skip


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < give_up_s:
        if process.poll() is not None:
            raise ConfigError(f"LiteLLM's proxy ended while it started: {_last_words(log)}")
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{url}/health/liveliness", timeout=5.0, trust_env=False).status_code == 200:
                return
        time.sleep(0.2)
    raise ConfigError(f"LiteLLM's proxy does not answer after {START_TIMEOUT_S:g} s: {_last_words(log)}")


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def _end(process: subprocess.Popen[bytes]) -> None:
    """With all of its workers, which are in its session."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_TIMEOUT_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
