"""A secret in a header. Its value is read when a replica begins, and told to nobody else."""

from __future__ import annotations

from configs.load import ProfileError, secret
from configs.schema import HeaderSecret
from serve_app.errors import ConfigError


def header_of(reference: HeaderSecret | None, name: str) -> dict[str, str]:
    """The header with the secret, by its lower-case name; empty if there is none.

    Raises:
        ConfigError: the secret is not set, or no header can hold it.
    """
    if reference is None:
        return {}
    try:
        value = secret(reference.value)
    except ProfileError as exc:
        raise ConfigError(f"the secret of the tool {name} is missing: {exc}") from exc
    if not value.isascii() or not value.isprintable():
        raise ConfigError(f"the secret of the tool {name} has characters that no HTTP header may have")
    return {reference.header.lower(): reference.prefix + value}
