"""`python -m benchmarks NAME ...`: one benchmark a name, loaded when it is called."""

from __future__ import annotations

import importlib
import signal
import sys

_BENCHMARKS = {
    "stall": "what load testers report of a server that stands still: ours, aiperf, guidellm, vllm bench serve",
    "capacity": "the highest rate of streams that load testers sustain honestly, and our dispatch delay",
    "compare-power": "false alarms and power of `manta bench compare`, against the reference server",
    "llamacpp-chat": "the llama.cpp engine against llama-server, llama_cpp.server and Llama under a lock",
    "embeddings": "tokens/s of the embedders and of what people use instead, short and long texts, 1 and 32 callers",
    "overhead": "what the path costs a stream: ours, without its hop, and a bare FastAPI server",
    "parity": "whether answers through Manta are those of a bare vllm serve, field by field",
    "soak": "an hour of mixed load: whether memory, files, threads or connections grow",
    "overload": "goodput from half to three times the capacity of a model, with and without priorities",
    "semantic-cache": "hits and false hits of the semantic cache by threshold, on paraphrases and near misses",
    "frontdoor": "what key, limits, guards, cache and LiteLLM add; whether limits and shares are exact",
    "affinity": "what it brings to keep requests together on one of a model's replicas",
    "cascade": "cost and quality of a small model before a large one, by threshold, against a coin",
    "startup": "seconds from the command to readiness, and the memory of all processes",
    "agent": "the pipeline's own time, model calls by path, and the time to the first event",
    "ablation": "answers to questions with faults: without the gate, with it, and with the web besides",
    "gate": "how well stage A tells answerable from unanswerable, and gold from random passages",
    "knowledge": "load, index, resync and queries of the knowledge base's stores, beside plain clients",
    "ingestion": "documents/s end to end, against the embedder alone; 1 to 4 workers",
    "retrieval": "nDCG, recall, MRR and time per query of a BEIR folder, through a running knowledge base",
}
_MODULES = {  # the others are benchmarks.NAME.run
    "llamacpp-chat": "benchmarks.llamacpp_chat.run",
    "semantic-cache": "benchmarks.semantic_cache.run",
    "compare-power": "benchmarks.compare.experiment",
    "stall": "benchmarks.peers.stall",
    "capacity": "benchmarks.peers.capacity",
}


def main() -> None:
    """Run one benchmark; its own `--help` says more."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in _BENCHMARKS:
        lines = [f"  {known:14} {text}" for known, text in _BENCHMARKS.items()]
        print("usage: python -m benchmarks NAME [options]\n" + "\n".join(lines), file=sys.stderr)
        sys.exit(0 if name in ("-h", "--help") else 2)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is stopped, too
    sys.argv = [f"python -m benchmarks {name}", *sys.argv[2:]]
    importlib.import_module(_MODULES.get(name, f"benchmarks.{name}.run")).main()


main()
