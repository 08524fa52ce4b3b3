"""What each tool is told, and what is read from the files that it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.peers import peer
from benchmarks.peers.aiperf_tool import Aiperf
from benchmarks.peers.base import Load, ToolFailed
from benchmarks.peers.guidellm_tool import Guidellm
from benchmarks.peers.peer import Peer, shown
from benchmarks.peers.tokenizer_home import NAME, make_home
from benchmarks.peers.vllm_tool import VllmBench

LOAD = Load(rate_rps=20.0, num_requests=400)
URL = "http://127.0.0.1:8000"


@pytest.fixture(autouse=True)
def _asks_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "run_bounded", lambda command, folder, timeout_s: "1.2.3\n")


def tool_of(kind: type[Peer], tmp_path: Path) -> Peer:
    executable = tmp_path / "bin" / "tool"
    executable.parent.mkdir()
    executable.touch()
    return kind(executable, tmp_path / "home", tmp_path)


@pytest.mark.parametrize("kind", [Aiperf, Guidellm, VllmBench])
def test_a_tool_is_told_the_load_and_no_hub(kind: type[Peer], tmp_path: Path) -> None:
    tool = tool_of(kind, tmp_path)
    text = shown(tool.command(URL, LOAD, tmp_path / "run"), tmp_path / "run")
    assert tool.version == "1.2.3"
    assert text.startswith("env HF_HUB_OFFLINE=1 HF_HOME=HOME tool ")
    assert str(tmp_path) not in text
    for word in (URL, NAME, "20", "400", "32", "64"):
        assert word in text


def test_a_cap_is_in_the_name_and_the_command(tmp_path: Path) -> None:
    executable = tmp_path / "aiperf"
    executable.touch()
    tool = Aiperf(executable, tmp_path / "home", tmp_path, concurrency=8)
    assert tool.name == "aiperf --concurrency 8"
    words = tool.arguments(URL, LOAD, tmp_path)
    assert words[words.index("--concurrency") + 1] == "8"


def test_a_tool_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match="there is no command guidellm"):
        Guidellm(tmp_path / "guidellm", tmp_path / "home", tmp_path)


def test_aiperfs_files(tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    document = {
        "time_to_first_token": {"p50": 20.5, "p95": 31.0, "p99": 40.0},
        "request_count": {"avg": 2},
        "error_summary": [{"error_details": {}, "count": 3}],
        "effective_latency": {"p95": 190.0},
    }
    (artifacts / "profile_export_aiperf.json").write_text(json.dumps(document))
    lines = [{"metrics": {"time_to_first_token": {"value": 20.5}}}, {"metrics": {}}]
    (artifacts / "profile_export.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    said = tool_of(Aiperf, tmp_path).reported(tmp_path)
    assert (said.ttft_p50_ms, said.ttft_p95_ms, said.ttft_p99_ms) == (20.5, 31.0, 40.0)
    assert (said.num_completed, said.num_failed) == (2, 3)
    assert said.ttft_ms == (20.5,)
    assert said.further == {"effective_latency_p95_ms": 190.0}


def test_guidellms_file(tmp_path: Path) -> None:
    percentiles = {"p50": 20.5, "p95": 31.0, "p99": 40.0}
    timings = {"request_start": 100.0, "first_token_iteration": 100.0205}
    benchmark = {
        "metrics": {
            "time_to_first_token_ms": {"successful": {"percentiles": percentiles}},
            "request_totals": {"successful": 1, "errored": 2, "incomplete": 1},
        },
        "requests": {"successful": [{"info": {"timings": timings}}]},
    }
    (tmp_path / "report.json").write_text(json.dumps({"benchmarks": [benchmark]}))
    said = tool_of(Guidellm, tmp_path).reported(tmp_path)
    assert (said.ttft_p95_ms, said.num_completed, said.num_failed) == (31.0, 1, 3)
    assert said.ttft_ms == pytest.approx((20.5,))
    assert said.further == {}


def test_vllms_file_says_infinity(tmp_path: Path) -> None:
    document = {
        "burstiness": float("inf"),
        "p50_ttft_ms": 20.5,
        "p95_ttft_ms": 31.0,
        "p99_ttft_ms": 40.0,
        "completed": 1,
        "failed": 1,
        "ttfts": [0.0205, 0.0],
        "errors": ["", "refused"],
    }
    (tmp_path / "result.json").write_text(json.dumps(document))
    said = tool_of(VllmBench, tmp_path).reported(tmp_path)
    assert (said.ttft_p50_ms, said.num_completed, said.num_failed) == (20.5, 1, 1)
    assert said.ttft_ms == (20.5,)


def test_a_file_that_cannot_be_read_is_the_tools_failure(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(ToolFailed, match=r"results cannot be read: KeyError"):
        tool_of(VllmBench, tmp_path).run(URL, LOAD, tmp_path, 1.0)


def test_the_tokenizer_counts_and_joins_again(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    files = make_home(tmp_path / "home")
    tokenizer = Tokenizer.from_file(str(files / "tokenizer.json"))
    text = "badu fe, Größe 7!"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert (tmp_path / "home/hub/models--local--words/refs/main").read_text() == files.name
    assert json.loads((files / "config.json").read_text()) == {"model_type": "gpt2"}
