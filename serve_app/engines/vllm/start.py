"""From a configuration to a vLLM that answers, or to one line that says which key keeps it from that."""

from __future__ import annotations

import http.client
import logging
import os
import socket
import sys
from pathlib import Path

from configs.schema import VllmModel
from serve_app.engines.vllm import failures
from serve_app.engines.vllm.command import command, environment
from serve_app.engines.vllm.devices import device_of
from serve_app.engines.vllm.engine import VllmEngine
from serve_app.engines.vllm.keys import key
from serve_app.engines.vllm.presence import interpreter, weights
from serve_app.engines.vllm.process import ServerProcess
from serve_app.errors import ConfigError, MantaError
from serve_app.model_cache.folders import ensure_folder

logger = logging.getLogger("manta.vllm")

_PROBE_TIMEOUT_S = 5.0
_STDERR = 2


def open_vllm(config: VllmModel, home: Path, num_cpus: int) -> VllmEngine:
    """vLLM's server with the model loaded. Slow: the weights may be fetched first.

    Args:
        config: the model.
        home: where weights are kept.
        num_cpus: threads of the engine where the configuration names none.

    Raises:
        ConfigError: it cannot start; on one line, with the key. Nothing is left running.
    """
    device_of(config).check(config)
    python = interpreter(config)
    folder = _folder(config, home)
    device_of(config).check_model(config, folder)
    process = ServerProcess(config.name, python, _show)
    is_ready = False
    try:
        try:
            process.start(
                command(config, python, folder, process.socket),
                environment(config, python, num_cpus, os.environ),
            )
        except OSError as exc:
            raise ConfigError(f"{key(config, 'python')}: {python} cannot be run: {exc.strerror}") from exc
        logger.info("%s: vLLM starts, as process %s", config.name, process.pid)
        is_ready = process.wait_until(lambda: _answers(process.socket), config.start_timeout_s)
    finally:
        status = process.exit_status() if process.pid else None
        if not is_ready:
            process.end()
    if not is_ready:
        raise ConfigError(failures.reason(config, process.output(), status))
    return VllmEngine(config, folder, process)


def _folder(config: VllmModel, home: Path) -> Path:
    try:
        return ensure_folder(weights(config), home, key=key(config, "weights"))
    except ConfigError:
        raise
    except MantaError as exc:
        raise ConfigError(f"{key(config, 'weights')}: {exc.message}") from exc


def _show(line: bytes) -> None:
    """vLLM's output is a part of the replica's log. Past Serve, which puts a buffer in the place of sys.stderr."""
    sys.stderr.flush()
    os.write(_STDERR, line)


def _answers(path: Path) -> bool:
    """Whether the server says that it is well. Before it listens there is not even a socket."""
    connection = _UnixConnection(path)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class _UnixConnection(http.client.HTTPConnection):
    """HTTP on a Unix socket, for the time before there is an event loop to do it on."""

    def __init__(self, path: Path) -> None:
        super().__init__("vllm", timeout=_PROBE_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
