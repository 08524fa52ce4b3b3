"""Whether an application without authentication would listen beyond its machine. It must not."""

from __future__ import annotations

import ipaddress

from configs.schema import AuthenticationConfig
from serve_app.errors import ConfigError


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def require_safe(host: str | None, authentication: AuthenticationConfig) -> None:
    """Return if the application may listen there; None: it listens nowhere.

    Raises:
        ConfigError: whoever reaches that address could do everything.
    """
    if host is None or authentication.is_on or is_loopback(host):
        return
    raise ConfigError(
        f"{host} is not loopback, and the application is open: configure door.authentication (keys, oidc or a "
        "gateway), or listen on 127.0.0.1 (http_options.host)"
    )
