"""A Ray of this process's own that serves one application on a port, until SIGTERM or until the parent is gone.

For servers that `manta up` does not start. Each runs as a process, and what measures speaks HTTP to it as to any other.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.input_end import terminate_with_input
from cluster.local import serve_environment

_NUM_CPUS = 64  # for Ray to believe in; what is measured waits for none


def serve_until_told(
    build: Callable[[], Any], name: str, route_prefix: str, port: int, *, is_fast: bool = True
) -> None:
    """Serve an application on loopback, and return once it is stopped and all its processes are gone.

    Args:
        build: makes the bound application; called after Ray is up.
        name: of the application.
        route_prefix: of its HTTP routes.
        port: of loopback.
        is_fast: Serve with HAProxy and the throughput mode; False: in its defaults.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    terminate_with_input()
    folder = Path(tempfile.mkdtemp(prefix="manta-"))  # short: Ray's sockets are in it
    if is_fast:
        os.environ.update(serve_environment(folder))  # before Ray is imported, which reads it
    try:
        _serve(build, name, route_prefix, port, folder)
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _stop()
        shutil.rmtree(folder, ignore_errors=True)


def _serve(build: Callable[[], Any], name: str, route_prefix: str, port: int, folder: Path) -> None:
    import ray
    from ray import serve

    on_sigterm = signal.getsignal(signal.SIGTERM)
    ray.init(
        address="local",
        num_cpus=_NUM_CPUS,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=str(folder),
    )
    signal.signal(signal.SIGTERM, on_sigterm)  # Ray puts a handler of its own there
    serve.start(http_options={"host": "127.0.0.1", "port": port}, proxy_location="HeadOnly")
    serve.run(build(), name=name, route_prefix=route_prefix)
    threading.Event().wait()


def _stop() -> None:
    import ray
    from ray import serve

    if ray.is_initialized():
        serve.shutdown()  # type: ignore[no-untyped-call]
        ray.shutdown()
