from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.errors import BenchmarkError
from benchmarks.records import Outcome, Record
from benchmarks.simulate.calibration.fit import Calibration, Fit
from benchmarks.simulate.calibration.runs import calibration_workloads
from benchmarks.simulate.calibration.service_file import read_service, write_calibration
from benchmarks.simulate.tables import accuracy_table
from benchmarks.simulate.validation.accuracy import accuracy_of
from benchmarks.simulate.validation.comparison import Validation, all_met
from benchmarks.simulate.validation.session import PROFILE, WORKLOADS
from benchmarks.summary.summarise import Summary, summarise
from configs.load import read_profile, read_workload
from configs.simulation import ServiceModel, Stack
from configs.workload import Workload

MakeStack = Callable[..., Stack]


def summary(ttfts_ms: Sequence[float], *, num_failed: int = 0) -> Summary:
    """Of requests a second apart with ten tokens each; the last ones fail."""
    workload = Workload.model_validate({"duration_s": len(ttfts_ms), "warm_up_s": 0})
    records = []
    for index, ttft_ms in enumerate(ttfts_ms):
        start_ns = index * 1_000_000_000
        is_failed = index >= len(ttfts_ms) - num_failed
        records.append(
            Record(
                index=index,
                entry="chat",
                worker=0,
                outcome=Outcome.TIMEOUT if is_failed else Outcome.OK,
                is_stream=True,
                intended_ns=start_ns,
                sent_ns=start_ns,
                first_token_ns=None if is_failed else start_ns + round(ttft_ms * 1e6),
                last_token_ns=None if is_failed else start_ns + round((ttft_ms + 90) * 1e6),
                end_ns=start_ns + round((ttft_ms + 90) * 1e6),
                num_pieces=10,
                num_output_tokens=10,
            )
        )
    return summarise(records, (), workload, arrivals_end_s=float(len(ttfts_ms)), is_closed_loop=False)


def test_the_error_is_of_the_median_of_the_simulations_against_the_real_run() -> None:
    real = summary([100.0] * 200)
    simulated = [summary([value] * 200) for value in (90.0, 120.0, 110.0)]
    rows = {accuracy.figure: accuracy for accuracy in accuracy_of(real, simulated)}
    p95 = rows["ttft p95"]
    assert p95.error == pytest.approx(0.10, abs=0.01)
    assert (p95.low, p95.high) == pytest.approx((90, 120), rel=0.01)
    assert (p95.is_met, rows["ttft p50"].is_met) == (True, None)
    assert rows["output throughput"].error == pytest.approx(0.0, abs=1e-6)


def test_a_figure_that_is_not_defined_is_not_met() -> None:
    real = summary([100.0] * 200)
    rows = {one.figure: one for one in accuracy_of(real, [summary([100.0] * 200, num_failed=50)])}
    assert rows["ttft p95"].simulated is None
    assert rows["ttft p95"].is_met is False


def test_the_table_says_what_is_met() -> None:
    accuracies = accuracy_of(summary([100.0] * 200), [summary([130.0] * 200)])
    validation = Validation("chat", "fixed", 200, accuracies, foreign_cores=0.25, max_replicas=2)
    assert not all_met([validation])
    console = Console(file=io.StringIO(), width=160)
    console.print(accuracy_table(validation))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "chat on fixed, 200 requests" in text
    assert "missed" in text
    assert "15%" in text


def test_a_calibration_is_read_back(tmp_path: Path, service: ServiceModel) -> None:
    path = tmp_path / "calibration.json"
    write_calibration(path, Calibration(service, Fit(1, 0.1, 0.2, 0.3, 0.4, 0.0)), {"model": "m"})
    assert read_service(path) == service
    path.write_text("{}")
    with pytest.raises(BenchmarkError, match="holds no calibration"):
        read_service(path)


def test_calibration_asks_alone_first_and_then_up_to_the_batch() -> None:
    alone, *together = calibration_workloads(2048, 8, 4096)
    assert alone.arrivals.process == "closed"
    assert [workload.name for workload in together] == ["calibration-2", "calibration-4", "calibration-8"]
    for workload in together:
        (request,) = workload.requests
        assert request.kind == "chat"
        assert not isinstance(request.prompt_tokens, int)
        assert request.prompt_tokens is not None
        assert request.prompt_tokens.high <= 2048 - 8  # one step can read it


def test_the_profile_has_what_a_validation_needs() -> None:
    models = {model.name: model for model in read_profile(PROFILE).platform.models}
    sizes = {name: (model.scaling.min_replicas, model.scaling.max_replicas) for name, model in models.items()}
    assert sizes == {"single": (1, 1), "fixed": (2, 2), "scaled": (1, 4), "asleep": (0, 1)}
    engines = {model.model_dump_json(exclude={"name", "scaling"}) for model in models.values()}
    assert len(engines) == 1  # what is calibrated on one is true of the others


@pytest.mark.parametrize("path", sorted(WORKLOADS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_workloads_can_be_read(path: Path) -> None:
    workload = read_workload(path)
    assert workload.name == path.stem
    assert workload.warm_up_s == 0  # real and simulated figures are of the same requests
