"""`python -m benchmarks semantic-cache`: hit and false-hit rate of the semantic cache by threshold.

Asks both questions of each pair through the application, the second one after the first one's answer was kept, in a
scope of their own, and reads in `x-manta-cache` whether the second got the first one's answer, and with which cosine.
The profile's own threshold has to be low, so that every score is seen; the figures are made here for all thresholds.
Beside them stand those of the bare cosines, from /v1/embeddings, without the cache's look at the words.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks import results_folder
from benchmarks.application import application
from benchmarks.errors import BadTarget, BenchmarkError
from benchmarks.semantic_cache.choose import (
    MAX_FALSE_HITS,
    THRESHOLDS,
    Scored,
    choose,
    cross_validated,
    rates,
)
from benchmarks.semantic_cache.families import Pair, read_pairs

_SCORE = re.compile(r"semantic; score=([0-9.]+)")
_SHOWN = (0.70, 0.75, 0.80, 0.85, 0.90, 0.95)
_HEADERS = {"x-manta-cache": "semantic", "x-manta-tenant": "benchmark"}


def main() -> None:
    """Run, print the table, write the folder; exit code 1 if the goal is missed."""
    arguments = _arguments()
    try:
        pairs = read_pairs(arguments.pairs)
        with (
            application(arguments.url, arguments.profile) as url,
            httpx.Client(base_url=url, timeout=60.0, trust_env=False) as client,
        ):
            records = [_record(client, arguments, number, pair) for number, pair in enumerate(pairs)]
    except (BenchmarkError, httpx.HTTPError) as exc:
        print(f"benchmarks: {exc}", file=sys.stderr)
        sys.exit(2)
    summary = summarise(records)
    settings = {"profile": str(arguments.profile), "model": arguments.model, "embedder": arguments.embedder}
    folder = results_folder.write(
        arguments.out, f"semantic-cache-{arguments.pairs.stem}", settings, summary, records
    )
    _print(summary)
    print(f"raw records: {folder}")
    sys.exit(0 if summary["is_met"] else 1)


def summarise(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rates by threshold with and without the look at the words, and what cross-validation says of the first."""
    ways = {
        way: [Scored(record["family"], record["is_same"], record[key]) for record in records]
        for way, key in (("cache", "score"), ("cosine_alone", "cosine"))
    }
    chosen, held_out = cross_validated(ways["cache"])
    return {
        "num_same": sum(record["is_same"] for record in records),
        "num_near_misses": sum(not record["is_same"] for record in records),
        "by_threshold": {
            way: [_rates(pairs, threshold) for threshold in THRESHOLDS] for way, pairs in ways.items()
        },
        "chosen": {way: choose(pairs) for way, pairs in ways.items()},
        "cross_validated": {
            "thresholds": chosen,
            "hits": held_out.hits,
            "false_hits": held_out.false_hits,
        },
        "is_met": held_out.false_hits <= MAX_FALSE_HITS,
    }


def _rates(pairs: Sequence[Scored], threshold: float) -> dict[str, float]:
    one = rates(pairs, threshold)
    return {"threshold": threshold, "hits": one.hits, "false_hits": one.false_hits}


def _record(client: httpx.Client, arguments: argparse.Namespace, number: int, pair: Pair) -> dict[str, Any]:
    told = [_ask(client, arguments.model, number, text) for text in (pair.kept, pair.asked)]
    found = _SCORE.fullmatch(told[1])
    score = None if found is None else float(found[1])
    a, b = _vectors(client, arguments.embedder, [pair.kept, pair.asked])
    cosine = math.fsum(x * y for x, y in zip(a, b, strict=True))
    return {
        "family": pair.family,
        "kept": pair.kept,
        "asked": pair.asked,
        "is_same": pair.is_same,
        "told": told[1],
        "score": score,
        "cosine": round(cosine, 4),
    }


def _ask(client: httpx.Client, model: str, number: int, question: str) -> str:
    """What the cache says of a question, in the scope of its pair."""
    messages = [
        {"role": "system", "content": f"pair {number}"},  # a scope of its own
        {"role": "user", "content": question},
    ]
    body = {"model": model, "messages": messages, "temperature": 0, "max_tokens": 2}
    answer = client.post("/v1/chat/completions", json=body, headers=_HEADERS)
    told: str | None = answer.headers.get("x-manta-cache")
    if answer.status_code != 200 or told is None:
        raise BadTarget(f"{answer.status_code}: no cache answered: {answer.text[:200]}")
    return told


def _vectors(client: httpx.Client, embedder: str, texts: list[str]) -> list[list[float]]:
    answer = client.post("/v1/embeddings", json={"model": embedder, "input": texts})
    if answer.status_code != 200:
        raise BadTarget(f"{answer.status_code}: {answer.text[:200]}")
    return [row["embedding"] for row in answer.json()["data"]]


def _print(summary: Mapping[str, Any]) -> None:
    title = f"{summary['num_same']} pairs that mean the same, {summary['num_near_misses']} near misses"
    table = Table(title=title)
    for column in ("threshold", "hits", "false hits", "cosine alone: hits", "false hits"):
        table.add_column(column, justify="right")
    both = zip(summary["by_threshold"]["cache"], summary["by_threshold"]["cosine_alone"], strict=True)
    for ours, bare in both:
        if ours["threshold"] in _SHOWN or ours["threshold"] == summary["chosen"]["cache"]:
            cells = (ours["hits"], ours["false_hits"], bare["hits"], bare["false_hits"])
            table.add_row(f"{ours['threshold']:.2f}", *(f"{cell:.1%}" for cell in cells))
    Console().print(table)
    held_out = summary["cross_validated"]
    low, high = min(held_out["thresholds"]), max(held_out["thresholds"])
    met = "met" if summary["is_met"] else "MISSED"
    print(
        f"cross-validated by family: thresholds {low:.2f} to {high:.2f}, hits {held_out['hits']:.1%}, "
        f"false hits {held_out['false_hits']:.2%} <= {MAX_FALSE_HITS:.0%}: {met}"
    )
    print(
        f"of all: {summary['chosen']['cache']:.2f}; by the cosine alone: {summary['chosen']['cosine_alone']:.2f}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default=None, help="a running application; default: one is started")
    parser.add_argument("--profile", type=Path, default=Path("configs/front.yaml"), help="what is started")
    parser.add_argument("--pairs", type=Path, default=Path("tests/data/semantic_cache/families.txt"))
    parser.add_argument("--model", default="small", help="the chat model that is asked")
    parser.add_argument("--embedder", default="all-minilm-l6-v2", help="the cache's embedder")
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results"), help="where the run's folder goes"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
