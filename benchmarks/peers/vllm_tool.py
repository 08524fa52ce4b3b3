"""vLLM's `vllm bench serve`: a gamma process of infinite burstiness, which is constant spacing; streamed chat."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.base import Load, Reported
from benchmarks.peers.peer import Peer, read_json
from benchmarks.peers.tokenizer_home import NAME


class VllmBench(Peer):
    """It sends from one process, each request as soon as it is due."""

    name = "vllm bench serve"
    distribution = "vllm"

    def arguments(self, url: str, load: Load, folder: Path) -> list[str]:
        return [
            *("bench", "serve", "--backend", "openai-chat"),
            *("--base-url", url, "--endpoint", "/v1/chat/completions"),
            *("--model", "reference", "--tokenizer", NAME),
            *("--dataset-name", "random", "--random-input-len", str(load.num_prompt_tokens)),
            *("--random-output-len", str(load.num_output_tokens), "--ignore-eos"),
            *("--num-prompts", str(load.num_requests)),
            *("--request-rate", f"{load.rate_rps:g}", "--burstiness", "inf"),
            *("--percentile-metrics", "ttft,tpot,itl,e2el", "--metric-percentiles", "50,95,99"),
            *("--save-result", "--save-detailed", "--disable-tqdm"),
            *("--result-dir", str(folder), "--result-filename", "result.json"),
        ]

    def reported(self, folder: Path) -> Reported:
        document = read_json(folder / "result.json")
        times = zip(document["ttfts"], document["errors"], strict=True)
        return Reported(
            ttft_p50_ms=document["p50_ttft_ms"],
            ttft_p95_ms=document["p95_ttft_ms"],
            ttft_p99_ms=document["p99_ttft_ms"],
            num_completed=document["completed"],
            num_failed=document["failed"],
            ttft_ms=tuple(ttft * 1e3 for ttft, error in times if not error),
        )
