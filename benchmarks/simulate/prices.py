"""What the simulated nodes cost: `configs.prices`, or what the simulation gives (`nodes.usd_per_hour`)."""

from __future__ import annotations

from benchmarks.errors import BenchmarkError
from configs.prices import AS_OF, REGION, SOURCE, USD_PER_HOUR

__all__ = ["AS_OF", "REGION", "SOURCE", "USD_PER_HOUR", "usd_per_hour"]


def usd_per_hour(instance: str, given: float | None) -> float:
    """The price that was given, else the table's.

    Raises:
        BenchmarkError: neither is there.
    """
    if given is not None:
        return given
    if instance not in USD_PER_HOUR:
        raise BenchmarkError(f"the price of {instance} is not known here; give nodes.usd_per_hour")
    return USD_PER_HOUR[instance]
