from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.errors import BenchmarkError
from benchmarks.run.execute import read_run
from benchmarks.simulate.tables import what_if_table
from benchmarks.simulate.what_if import Row, Stage, compare_stacks
from configs.load import read_simulation
from configs.simulation import Stack
from configs.workload import TraceArrivals, Workload

MakeStack = Callable[..., Stack]
ROOT = Path(__file__).resolve().parents[4]
TRACES = ROOT.parent / "shared" / "traces"
NODES = {"instance": "g6.xlarge", "usd_per_hour": 3.6, "max_nodes": 4, "provision_s": 10, "idle_s": 30}


@pytest.fixture
def workload() -> Workload:
    return Workload.model_validate(
        {
            "duration_s": 20,
            "arrivals": {"process": "constant", "rate_rps": 5},
            "requests": [{"kind": "chat", "prompt_tokens": 50, "output_tokens": 20}],
            "objectives": {"ttft_ms": 60},
            "warm_up_s": 0,
        }
    )


def text(rows: list[Row]) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(what_if_table(rows))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_stacks_stand_side_by_side_with_their_costs(
    tmp_path: Path, workload: Workload, make_stack: MakeStack
) -> None:
    stacks = {
        "one": make_stack(nodes=NODES),
        "three": make_stack(
            nodes=NODES, scaling={"min_replicas": 3, "max_replicas": 3}, fixed_usd_per_hour=1.8
        ),
    }
    one, three = compare_stacks(workload, stacks, tmp_path, {"simulation": "test"})
    assert (one.min_replicas, one.mean_replicas, three.max_replicas, three.max_nodes) == (1, 1.0, 3, 3)
    assert one.costs is not None
    assert three.costs is not None
    # A node for the length of the run, which ends with the last answer.
    hours = one.costs.node_hours
    assert hours * 3600 == pytest.approx(20, abs=1)
    assert one.costs.usd == pytest.approx(hours * 3.6)
    assert one.costs.usd_per_million_output_tokens == pytest.approx(one.costs.usd / (100 * 20) * 1e6)
    assert one.costs.usd_per_million_tokens == pytest.approx(one.costs.usd / (100 * 70) * 1e6)
    assert three.costs.usd_per_hour == pytest.approx(3 * 3.6 + 1.8)
    assert three.attainment is not None
    assert one.attainment is not None
    assert three.attainment >= one.attainment
    assert three.costs.price_source == "the simulation"
    table = text([one, three])
    for cell in ("three", "1 / 1.0 / 1", "3 / 3.0 / 3", "USD per million output tokens", "12.60"):
        assert cell in table


def test_a_variants_folder_is_read_as_a_runs(
    tmp_path: Path, workload: Workload, make_stack: MakeStack
) -> None:
    stages: list[Stage] = []
    (row,) = compare_stacks(workload, {"base": make_stack()}, tmp_path, {"simulation": "test"}, stages.append)
    run = read_run(tmp_path / "base")
    assert len(run.records) == 100
    assert run.summary.percentile("ttft", "p95") == row.latencies_ms["ttft"]["p95"]
    assert run.settings["is_simulated"] is True
    series = [json.loads(line) for line in (tmp_path / "base" / "series.jsonl").read_text().splitlines()]
    assert {sample["num_running"] for sample in series} == {1}
    assert json.loads((tmp_path / "simulation.json").read_text())["rows"][0]["name"] == "base"
    assert row.costs is None
    assert stages[0].name == "base"


def test_an_unknown_price_is_told_before_anything_is_simulated(
    tmp_path: Path, workload: Workload, make_stack: MakeStack
) -> None:
    stack = make_stack(nodes=NODES | {"instance": "z9.huge", "usd_per_hour": None})
    with pytest.raises(BenchmarkError, match=r"z9\.huge"):
        compare_stacks(workload, {"base": stack}, tmp_path, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs" / "simulations").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_simulation_in_the_repository_can_be_simulated(path: Path, tmp_path: Path) -> None:
    read = read_simulation(path)
    assert read.simulation.name == path.stem
    short = read.workload.model_copy(update={"duration_s": 20.0})
    if isinstance(short.arrivals, TraceArrivals):
        trace = TRACES / Path(short.arrivals.path).name
        if not trace.exists():
            pytest.skip(f"{trace} is not there")
        short = short.model_copy(update={"arrivals": short.arrivals.model_copy(update={"path": str(trace)})})
    rows = compare_stacks(short, read.stacks, tmp_path, {})
    assert [row.name for row in rows] == list(read.stacks)
    assert all(row.costs is not None for row in rows)
