"""guidellm: a constant-rate profile, streamed chat, synthetic prompts."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.base import Load, Reported
from benchmarks.peers.peer import Peer, read_json
from benchmarks.peers.tokenizer_home import NAME


class Guidellm(Peer):
    """It has no cap of its own at a constant rate, but for the places of its worker processes (10,240)."""

    name = "guidellm"
    distribution = "guidellm"

    def arguments(self, url: str, load: Load, folder: Path) -> list[str]:
        data = f"prompt_tokens={load.num_prompt_tokens},output_tokens={load.num_output_tokens}"
        return [
            "run",
            *("--backend", f"kind=openai_http,target={url},model=reference"),
            *("--profile", f"kind=constant,rate={load.rate_rps:g}"),
            *("--constraint", f"kind=max_requests,count={load.num_requests}"),
            *("--tokenizer", f"kind=huggingface_auto,model={NAME}"),
            *("--data", f"kind=synthetic_text,{data}"),
            *("--output", f"kind=json,path={folder / 'report.json'}"),
            "--disable-console",
        ]

    def reported(self, folder: Path) -> Reported:
        (benchmark,) = read_json(folder / "report.json")["benchmarks"]
        metrics, requests = benchmark["metrics"], benchmark["requests"]
        ttft = metrics["time_to_first_token_ms"]["successful"]["percentiles"]
        totals = metrics["request_totals"]
        scheduled = metrics.get("request_scheduled_latency") or {}
        corrected = (scheduled.get("successful") or {}).get("percentiles") or {}
        return Reported(
            ttft_p50_ms=ttft["p50"],
            ttft_p95_ms=ttft["p95"],
            ttft_p99_ms=ttft["p99"],
            num_completed=totals["successful"],
            num_failed=totals["errored"] + totals["incomplete"],
            ttft_ms=tuple(_ttft_ms(request["info"]["timings"]) for request in requests["successful"]),
            further={"request_scheduled_latency_p95": corrected["p95"]} if corrected else {},
        )


def _ttft_ms(timings: dict[str, float]) -> float:
    return (timings["first_token_iteration"] - timings["request_start"]) * 1e3
