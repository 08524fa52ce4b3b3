"""What a simulated run would have cost."""

from __future__ import annotations

import msgspec

from benchmarks.records import Outcome
from benchmarks.simulate.prices import AS_OF, REGION, SOURCE, usd_per_hour
from benchmarks.simulate.simulation import Simulated
from configs.simulation import Stack

SECONDS_PER_HOUR = 3600.0
PER_MILLION = 1e6


class Costs(msgspec.Struct, frozen=True):
    """Costs of a run, and of what it made.

    Args:
        usd_per_node_hour: the price that was used, and where it is from.
        usd_per_hour: in the mean, with what runs whatever the load.
        usd_per_million_output_tokens: of answers that were completed; None: there were none.
        usd_per_million_tokens: the same for their prompts and outputs together.
    """

    node_hours: float
    usd_per_node_hour: float
    price_source: str
    usd: float
    usd_per_hour: float
    usd_per_million_output_tokens: float | None
    usd_per_million_tokens: float | None


def costs_of(simulated: Simulated, stack: Stack) -> Costs | None:
    """What it cost; None when the simulation has no nodes.

    Raises:
        BenchmarkError: the instance has no known price and none was given.
    """
    if stack.nodes is None or simulated.node_seconds is None:
        return None
    price = usd_per_hour(stack.nodes.instance, stack.nodes.usd_per_hour)
    node_hours = simulated.node_seconds / SECONDS_PER_HOUR
    hours = simulated.end_s / SECONDS_PER_HOUR
    usd = node_hours * price + hours * stack.fixed_usd_per_hour
    done = [record for record in simulated.records if record.outcome is Outcome.OK]
    num_output = sum(record.num_output_tokens or 0 for record in done)
    num_prompt = sum(record.num_prompt_tokens or 0 for record in done)
    return Costs(
        node_hours=node_hours,
        usd_per_node_hour=price,
        price_source="the simulation"
        if stack.nodes.usd_per_hour is not None
        else f"{SOURCE}, {AS_OF}, {REGION}",
        usd=usd,
        usd_per_hour=usd / hours,
        usd_per_million_output_tokens=usd / num_output * PER_MILLION if num_output else None,
        usd_per_million_tokens=usd / (num_output + num_prompt) * PER_MILLION if num_output else None,
    )
