"""NVIDIA's aiperf: a rate with constant spacing, streamed chat, and the server's own token counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from benchmarks.peers.base import Load, Reported
from benchmarks.peers.peer import Peer, read_json
from benchmarks.peers.tokenizer_home import NAME


class Aiperf(Peer):
    """Without `concurrency` an open loop; with it, requests wait for a place before they are sent."""

    distribution = "aiperf"

    def __init__(self, executable: Path, home: Path, scratch: Path, concurrency: int | None = None) -> None:
        self._concurrency = concurrency
        self.name = "aiperf" if concurrency is None else f"aiperf --concurrency {concurrency}"
        super().__init__(executable, home, scratch)

    def arguments(self, url: str, load: Load, folder: Path) -> list[str]:
        capped = () if self._concurrency is None else ("--concurrency", str(self._concurrency))
        return [
            *("profile", "--model", "reference", "--url", url),
            *("--endpoint-type", "chat", "--streaming"),
            *("--request-rate", f"{load.rate_rps:g}", "--arrival-pattern", "constant", *capped),
            *("--request-count", str(load.num_requests)),
            *("--prompt-input-tokens-mean", str(load.num_prompt_tokens), "--prompt-input-tokens-stddev", "0"),
            *("--output-tokens-mean", str(load.num_output_tokens), "--output-tokens-stddev", "0"),
            *("--extra-inputs", "ignore_eos:true"),
            *("--extra-inputs", f"min_tokens:{load.num_output_tokens}"),
            *("--tokenizer", NAME, "--use-server-token-count", "--random-seed", "1"),
            # What it asks beside the load: metrics pages that the server does not have.
            *("--no-server-metrics", "--no-gpu-telemetry", "--ui", "none"),
            *("--output-artifact-dir", str(folder / "artifacts")),
        ]

    def reported(self, folder: Path) -> Reported:
        artifacts = folder / "artifacts"
        document = read_json(artifacts / "profile_export_aiperf.json")
        ttft = document["time_to_first_token"]
        lines = msgspec.json.Decoder(dict[str, Any]).decode_lines(
            (artifacts / "profile_export.jsonl").read_bytes()
        )
        times = [line["metrics"].get("time_to_first_token") for line in lines]
        num_completed = int(document["request_count"]["avg"])
        errors = document.get("error_summary") or []
        corrected = document.get("effective_latency")
        return Reported(
            ttft_p50_ms=ttft["p50"],
            ttft_p95_ms=ttft["p95"],
            ttft_p99_ms=ttft["p99"],
            num_completed=num_completed,
            num_failed=sum(int(error["count"]) for error in errors),
            ttft_ms=tuple(time["value"] for time in times if time is not None),
            further={} if corrected is None else {"effective_latency_p95_ms": corrected["p95"]},
        )
