"""A calibration over real sockets and worker processes, of a mock engine that batches."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from benchmarks.records import Outcome, read_records
from benchmarks.simulate.calibration import runs
from benchmarks.simulate.calibration.runs import calibrate_server
from benchmarks.target import Target
from configs.schema import IngressConfig, MockModel
from serve_app.engines.mock import MockGenerator
from serve_app.engines.text_edge import TextEdge
from serve_app.ingress.app import create_app
from serve_app.ingress.services import Services


@pytest.fixture
def url() -> Iterator[str]:
    """A server with the model `mock`: steps of 5 ms, chunks of 256 tokens, two sequences."""
    config = MockModel(
        name="mock",
        engine="mock",
        ttft_ms=0,
        tpot_ms=5,
        tpot_us_per_running=500,
        prefill_us_per_token=20,
        max_batched_tokens=256,
        max_concurrent=2,
    )
    engine = TextEdge(MockGenerator(config))
    services = Services(
        models={"mock": engine},
        embedders={},
        agents={},
        knowledge=None,  # type: ignore[arg-type]  # nobody asks it here
        cards={"mock": engine.card()},
    )
    # Named as TCP, because asyncio sends at once only on sockets that are; with others a frame waits 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(256)
    server = uvicorn.Server(
        uvicorn.Config(create_app(IngressConfig(), services), log_level="error", lifespan="off")
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=30)
    listener.close()


def test_a_server_is_calibrated(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "ALONE_S", 4.0)
    monkeypatch.setattr(runs, "TOGETHER_S", 2.0)
    said: list[str] = []
    made = calibrate_server(
        Target(url=url, model="mock"),
        tmp_path,
        max_batched_tokens=256,
        max_running=2,
        max_prompt_tokens=600,
        say=said.append,
    )
    assert said == ["calibrating: calibration-1", "calibrating: calibration-2"]
    # A loaded machine makes steps longer and never shorter; between the terms of a step some of it may move.
    assert made.service.step_ms + made.service.step_us_per_running / 1e3 > 3
    assert (made.service.max_batched_tokens, made.service.max_running) == (256, 2)
    assert isinstance(made.service.overhead_ms, tuple)
    assert made.fit.num_requests >= 20
    for name in ("calibration-1", "calibration-2"):
        assert {record.outcome for record in read_records(tmp_path / name)} <= {
            Outcome.OK,
            Outcome.INTERRUPTED,
        }
