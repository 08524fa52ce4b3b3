"""What every part of the tree is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
Url = Annotated[str, StringConstraints(pattern=r"^https?://\S+$")]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Strict(BaseModel):
    """The base of the tree: frozen; unknown keys are errors, and so are infinite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SecretRef(Strict):
    """Where a secret is found. The value itself never stands in a configuration."""

    env: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = Field(
        description="Environment variable that holds the secret."
    )


def secrets_of(config: Strict) -> set[str]:
    """Environment variables that any part of a configuration names as secrets."""
    found: set[str] = set()
    for name in type(config).model_fields:
        found |= _secrets(getattr(config, name))
    return found


def _secrets(value: object) -> set[str]:
    if isinstance(value, SecretRef):
        return {value.env}
    if isinstance(value, Strict):
        return secrets_of(value)
    if isinstance(value, tuple | list):
        return {env for one in value for env in _secrets(one)}
    if isinstance(value, dict):
        return {env for one in value.values() for env in _secrets(one)}
    return set()
