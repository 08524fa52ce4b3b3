from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.schedule.plan import plan
from configs.load import ProfileError, parse_workload, read_workload, read_workload_document
from configs.workload import AgentRequest, TraceArrivals, Workload

ROOT = Path(__file__).resolve().parents[3]
WORKLOADS = sorted((ROOT / "configs" / "workloads").glob("*.yaml"))
TRACES = ROOT.parent / "shared" / "traces"


@pytest.mark.parametrize("path", WORKLOADS, ids=lambda path: path.name)
def test_every_workload_in_the_repository_can_be_drawn(path: Path) -> None:
    workload = read_workload(path)
    assert workload.name == path.stem
    if isinstance(workload.arrivals, TraceArrivals):
        trace = TRACES / Path(workload.arrivals.path).name
        if not trace.exists():
            pytest.skip(f"needs {trace.name}, which is not on this machine")
        arrivals = workload.arrivals.model_copy(update={"path": str(trace)})
        workload = workload.model_copy(update={"arrivals": arrivals})
    assert plan(workload).num_requests > 20


@pytest.mark.parametrize("path", WORKLOADS, ids=lambda path: path.name)
def test_files_that_a_workload_names_are_in_the_repository(path: Path) -> None:
    for request in read_workload(path).requests:
        if isinstance(request, AgentRequest):
            assert (ROOT / request.texts).is_file()


def test_an_empty_workload_is_its_defaults() -> None:
    assert parse_workload({}) == Workload()


@pytest.mark.parametrize("path", WORKLOADS, ids=lambda path: path.name)
def test_a_workload_survives_the_results_folder(path: Path) -> None:
    workload = read_workload(path)
    assert Workload.model_validate(workload.model_dump(mode="json", exclude_unset=True)) == workload


def chat(**fields: Any) -> dict[str, Any]:
    return {"requests": [{"kind": "chat", **fields}]}


def trace(**fields: Any) -> dict[str, Any]:
    return {"arrivals": {"process": "trace", "path": "t.csv"}, **chat(**fields)}


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ({"rate": 3}, "rate: Extra inputs"),
        ({"duration_s": 0}, "duration_s: Input should be greater than 0"),
        ({"duration_s": 1e9}, "duration_s: Input should be less than or equal to 86400"),
        ({"arrivals": {"process": "poison", "rate_rps": 1}}, "arrivals: Input tag 'poison'"),
        (
            {"arrivals": {"process": "poisson", "rate_rps": 0}},
            "arrivals.poisson.rate_rps: Input should be greater",
        ),
        ({"arrivals": {"process": "ramp", "from_rps": 0, "to_rps": 0}}, "a ramp from 0 to 0 has no requests"),
        ({"arrivals": {"process": "step", "rates_rps": [0, 0]}}, "steps of 0 have no requests"),
        ({"requests": []}, "requests: Tuple should have at least 1 item"),
        ({"requests": [{"kind": "chat"}, {"kind": "chat"}]}, "two requests are called 'chat'"),
        (chat(weight=float("inf")), "requests.0.chat.weight: Input should be a finite number"),
        (chat(prompt_token=3), "requests.0.chat.prompt_token: Extra inputs"),
        (chat(prompt_tokens=0), "requests.0.chat.prompt_tokens"),
        (chat(prompt_tokens={"distribution": "uniform", "low": 9, "high": 3}), "low 9 is above high 3"),
        (chat(texts="t.txt", prompt_tokens=3), "give either texts or prompt_tokens"),
        ({"requests": [{"kind": "embeddings", "texts": "t.txt", "prompt_tokens": 3}]}, "give either texts"),
        (chat(extra_body={"stream": False}), "extra_body must not hold `stream`"),
        (trace(prompt_tokens=3), "requests.0.prompt_tokens has no meaning with a trace"),
        (trace(turns=3), "requests.0.turns has no meaning with a trace"),
        (trace(shared_prefix_tokens=3), "requests.0.shared_prefix_tokens has no meaning with a trace"),
        (
            {**trace(), "requests": [{"kind": "embeddings"}]},
            "exactly one request of kind chat or completions",
        ),
    ],
)
def test_a_fault_is_named_on_one_line(document: dict[str, Any], fault: str) -> None:
    with pytest.raises(ProfileError) as caught:
        parse_workload(document)
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("arrivals: {", "is not YAML"),
        ("- chat", "is not a workload (a mapping with `arrivals` and `requests`)"),
        ("", "is not a workload"),
        ("seed: -1", "seed: Input should be greater than or equal to 0"),
        ("duration_s: .nan", "duration_s: "),
        ("arrivals: {process: poisson, rate_rps: .inf}", "rate_rps: "),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(text)
    with pytest.raises(ProfileError) as caught:
        read_workload(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert fault in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"none\.yaml: no such file"):
        read_workload_document(tmp_path / "none.yaml")
