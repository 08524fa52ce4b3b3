"""The gate with the real RAGAS: the whole application on a Ray, its judge and embedder over deployment handles."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from benchmarks.application import application, write_profile
from benchmarks.scripted_model.application import external_models, ingest
from benchmarks.scripted_model.facts import Fact, question

DEPTH = Fact("depth", "Lake Orvane", "93 metres")
START_S = 600.0
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(int(START_S) + 120)]


@pytest.fixture(scope="module")
def http(model_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    args = {
        "models": external_models(model_url),
        "embedder": {"name": "hash", "engine": "mock"},
        # The mock's cosines are no model's: stage A lets through what it finds, in doubt.
        "agent": {
            "models": ["writer"],
            "judge": "judge",
            "evaluator": "ragas",
            "gate": {"correct_at": 1.0, "incorrect_below": 0.0},
        },
    }
    profile = write_profile(tmp_path_factory.mktemp("ragas") / "profile.yaml", args)
    with (
        application(None, profile, timeout_s=START_S) as url,
        httpx.Client(base_url=url, timeout=120.0, trust_env=False) as client,
    ):
        ingest(client, "known", {"lake.md": f"# Lake Orvane\n\n{DEPTH.said()}.\n"})
        ingest(client, "unknown", {"lake.md": "# Lake Orvane\n\nLake Orvane is cold.\n"})
        yield client


def ask(http: httpx.Client, tenant: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """(what the judge said, the answer)."""
    body = {"question": question("depth", "Lake Orvane"), "stream": True}
    response = http.post(
        "/v1/agent/answers", json=body, headers={"x-manta-tenant": tenant, "x-request-timeout-s": "100"}
    )
    assert response.status_code == 200, response.text
    events = [block.split("\n") for block in response.text.split("\n\n") if block.startswith("event: ")]
    said = [
        (lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))) for lines in events
    ]
    (final,) = [data for name, data in said if name == "answer.final"]
    return [data for name, data in said if name == "evaluation"], final


def test_the_gate_asks_ragas_and_says_so(http: httpx.Client) -> None:
    (evaluation,), final = ask(http, "known")
    assert evaluation["evaluator"] == "ragas 0.4.3"
    assert evaluation["verdict"] == "pass"
    assert evaluation["metrics"]["faithfulness"] == {"value": 1.0}
    assert set(evaluation["metrics"]) == {"faithfulness", "answer_relevancy", "context_relevance"}
    assert final["outcome"] == "answered"
    assert final["text"].startswith(DEPTH.said())
    # One to write; RAGAS' two for faithfulness, one for relevancy, and two for the passages, which were in doubt.
    assert final["usage"]["num_model_calls"] == 6


def test_what_ragas_calls_unfaithful_is_written_again_and_does_not_leave(http: httpx.Client) -> None:
    evaluations, final = ask(http, "unknown")
    assert [one["verdict"] for one in evaluations] == ["unfaithful"]
    assert evaluations[0]["metrics"]["faithfulness"] == {"value": 0.0}
    assert "REGENERATE" in [one["state"].upper() for one in final["run"]]
    assert final["outcome"] == "abstained"


def test_the_metrics_name_the_evaluator(http: httpx.Client) -> None:
    ask(http, "known")

    def seen() -> bool:
        lines = http.get("/metrics").text.splitlines()
        return any(
            "agent_gate_verdicts_total" in line
            and 'evaluator="ragas 0.4.3"' in line
            and 'stage="answer"' in line
            for line in lines
        )

    give_up = time.monotonic() + 120
    while not seen():
        assert time.monotonic() < give_up, "the metrics do not name it"
        time.sleep(1)
