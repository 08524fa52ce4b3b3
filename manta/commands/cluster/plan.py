"""`manta cluster plan`: what a profile's cluster needs and costs, for a person to check, or as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from cluster.costs import NOT_COUNTED
from cluster.plan import plan
from cluster.plan_types import GIB, ClusterPlan, CostLine, Money, PodShape, WorkerGroup
from configs.load import read_profile
from manta.console import out

_WIDTH = 150  # of the tables, where no terminal says how wide it is


@click.command("plan")
@click.argument("profile", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON document.")
@click.option("--misfits", is_flag=True, help="Say of each allowed instance type what it is too small for.")
def command(profile: Path, *, as_json: bool, misfits: bool) -> int:
    """Say what PROFILE's cluster needs: pods, instances they fit on, nodes, dollars an hour, and why.

    Reaches nothing: no AWS account, no cluster.
    """
    made = plan(read_profile(profile))
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(made), indent=2))
        return 0
    console = out if out.is_terminal else Console(highlight=False, width=_WIDTH)
    for table in (_groups(made), _costs(made), _nodes(made), _waves(made)):
        console.print(table)
    _list("forced by", ((one.key, one.consequence) for one in made.forced))
    _list("look at", ((one.key, one.consequence) for one in made.warnings))
    _list("quotas needed (vCPUs)", ((one.code, f"{one.num_vcpus}  {one.name}") for one in made.quotas))
    if misfits:
        for group in (made.head, *made.groups):
            _list(
                f"too small for {group.name}",
                ((one.instance.name, "; ".join(one.shortfalls)) for one in group.misfits),
            )
    out.print(f"prices: {made.price_source}", markup=False)
    out.print(f"not counted: {NOT_COUNTED}", markup=False)
    return 0


def _groups(made: ClusterPlan) -> Table:
    table = Table(title=f"{made.profile}: pods of Ray {made.ray_version}", title_justify="left")
    for column in ("group", "runs", "pod", "pods", "fits on (pods a node)", "cold start"):
        table.add_column(column, overflow="fold")
    for group in (made.head, *made.groups):
        runs = ", ".join(one.name for one in group.replicas) or "Ray's own"
        table.add_row(
            group.name,
            runs,
            _pod(group.pod),
            _bounds(group),
            _fits(group),
            f"{group.cold_start.total_s:.0f} s",
        )
    for other in made.others:
        bounds = f"{other.min_pods} to {other.max_pods}"
        pod = f"{other.num_cpus:g} CPU, {other.memory_bytes / GIB:g} GiB"
        table.add_row(other.name, "not Ray", pod, bounds, "system nodes", "")
    return table


def _pod(pod: PodShape) -> str:
    parts = [f"{pod.num_cpus} CPU", f"{pod.memory_bytes / GIB:g} GiB"]
    parts += [f"{pod.num_gpus} GPU"] if pod.num_gpus else []
    parts += [f"{pod.num_neuron_cores} NeuronCores"] if pod.num_neuron_cores else []
    parts += [f"{pod.cache_bytes / GIB:g} GiB disk"] if pod.cache_bytes else []
    return ", ".join(parts)


def _bounds(group: WorkerGroup) -> str:
    if group.role == "head":
        return "1"
    text = f"{group.min_pods} to {group.max_pods}, expected {group.expected_pods}"
    text += f", in updates {group.peak_pods}" if group.peak_pods != group.max_pods else ""
    return text + (f", places kept for {group.spare_pods}" if group.spare_pods else "")


def _fits(group: WorkerGroup) -> str:
    shown = [f"{fit.instance.name} ({fit.pods_per_node})" for fit in group.fits[:3]]
    more = len(group.fits) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _costs(made: ClusterPlan) -> Table:
    table = Table(title="US dollars an hour: on demand / with spot where it is allowed", title_justify="left")
    for column in ("", "minimum", "expected", "maximum"):
        table.add_column(column, justify="left" if not column else "right")
    for line in made.costs:
        table.add_row(*_cost_cells(line))
    table.add_section()
    table.add_row(*_cost_cells(made.total), style="bold")
    return table


def _cost_cells(line: CostLine) -> list[str]:
    return [line.name, _money(line.minimum), _money(line.expected), _money(line.maximum)]


def _money(money: Money) -> str:
    on_demand, spot = _dollars(money.on_demand), _dollars(money.spot)
    return on_demand if on_demand == spot else f"{on_demand} / {spot}"


def _dollars(amount: float | None) -> str:
    return "unknown" if amount is None else f"{amount:.2f}"


def _nodes(made: ClusterPlan) -> Table:
    table = Table(title="nodes", title_justify="left")
    for column in ("role", "bought", "instance types", "least", "expected", "most", "in updates"):
        table.add_column(column, overflow="fold")
    for pool in made.pools:
        counts = (pool.min_nodes, pool.expected_nodes, pool.max_nodes, pool.peak_nodes)
        types = ", ".join(instance.name for instance in pool.instance_types[:4])
        more = len(pool.instance_types) - 4
        table.add_row(
            pool.role,
            " or ".join(pool.capacity),
            types + (f" and {more} more" if more > 0 else ""),
            *map(str, counts),
        )
    return table


def _waves(made: ClusterPlan) -> Table:
    table = Table(title="order", title_justify="left")
    for column in ("wave", "what", "the next one waits until"):
        table.add_column(column, overflow="fold")
    for wave in made.waves:
        table.add_row(wave.name, wave.contents, wave.ready_when)
    return table


def _list(title: str, rows: Iterable[tuple[str, str]]) -> None:
    found: Sequence[tuple[str, str]] = tuple(rows)
    if not found:
        return
    out.print(f"\n{title}", style="bold", markup=False)
    wide = max(len(key) for key, _ in found)
    for key, text in found:
        out.print(f"  {key:<{wide}}  {text}", markup=False)
