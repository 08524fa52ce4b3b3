"""The server under test, as every part of a measurement knows it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Target:
    """An OpenAI-compatible server.

    Args:
        url: scheme, host and port, without a slash or `/v1` at the end.
        model: what requests ask for unless the workload says otherwise.
        api_key: sent as bearer token; stays out of reprs, records and results.
        headers: sent with every request.
        ca_file: certificates to trust, for https; None: the system's.
    """

    url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = ()
    ca_file: str | None = None
