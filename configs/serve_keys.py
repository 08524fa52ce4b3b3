"""What a Serve config file may say beside the application's `args`: Ray leaves out any other key without a word.

The keys are those of Ray 2.60 (ray/serve/schema.py); a test holds them against its models. Their values are Ray's to
check, but for the few that Manta reads.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

FILE = (
    "applications", "controller_options", "grpc_options", "http_options", "logging_config", "proxy_location",
    "target_capacity", "tracing_config",
)  # fmt: skip
APPLICATION = (
    "args", "autoscaling_policy", "deployments", "external_scaler_enabled", "host", "import_path", "logging_config",
    "name", "port", "route_prefix", "runtime_env",
)  # fmt: skip
HTTP = (
    "host", "keep_alive_timeout_s", "port", "request_timeout_s", "root_path", "ssl_ca_certs", "ssl_certfile",
    "ssl_keyfile", "ssl_keyfile_password",
)  # fmt: skip


def faults(document: Mapping[str, Any], application: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each key that is not Serve's, and for each part that should be a mapping and is none."""
    yield from _unknown("", document, FILE)
    yield from _unknown("applications.0.", application, APPLICATION)
    http = document.get("http_options")
    if isinstance(http, Mapping):
        yield from _unknown("http_options.", http, HTTP)
    for key, value in (("http_options", http), ("applications.0.args", application.get("args"))):
        if value is not None and not isinstance(value, Mapping):
            yield f"{key} must be a mapping, not {value!r}"


def _unknown(where: str, given: Mapping[str, Any], known: Collection[str]) -> Iterator[str]:
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            advice = f"did you mean {near[0]}?" if near else f"it knows {', '.join(known)}"
            yield f"{where}{key} is no key of Serve's; {advice}"
