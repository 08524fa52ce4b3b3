"""`python -m benchmarks retrieval --data DIR`: quality and time of search, through the HTTP API.

Ingests the collection (each text a document of its own), asks every judged question in each mode,
and ranks documents by their best passage. Then syncs again without and with one change, to count
what is embedded anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import results_folder
from benchmarks.application import CannotStart, application
from benchmarks.client.answers import error_text
from benchmarks.retrieval.beir import BrokenCollection, Collection, Document, read
from benchmarks.retrieval.metrics import ndcg, recall, reciprocal_rank

MODES = ("lexical", "dense", "hybrid")
METRICS: Mapping[str, Callable[[Sequence[str], Mapping[str, int]], float]] = {
    "ndcg@10": ndcg,
    "recall@10": recall,
    "mrr@10": reciprocal_rank,
}
BATCH = 64
PASSAGES = 50  # asked for, so that ten documents are left when several passages are of one document
err = Console(stderr=True)


def main() -> None:
    """Run, print the table, write the folder."""
    arguments = _arguments()
    try:
        collection = read(arguments.data, arguments.split)
        with application(arguments.url, arguments.profile) as url:
            summary, records = measure(url, collection, arguments.pause)
            _keep(arguments, collection, summary, records)
    except (BrokenCollection, CannotStart, httpx.HTTPError) as exc:
        print(f"benchmarks: {exc}", file=sys.stderr)
        sys.exit(2)


def measure(
    url: str, collection: Collection, pause_s: float = 0.0
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(summary, one record a query and mode). `pause_s` seconds lie between the last document and the first query."""
    client = httpx.Client(
        base_url=url,
        timeout=300.0,
        trust_env=False,
        headers={"x-manta-tenant": f"bench-{collection.name}", "x-request-timeout-s": "300"},
        event_hooks={"response": [_refuse_errors]},
    )
    with client:
        status = client.get("/v1/knowledge/status")
        ingestion = _ingest(client, collection)
        time.sleep(pause_s)
        records = [
            _ask(client, collection, query_id, mode)
            for query_id in track(collection.queries, "searching", console=err)
            for mode in MODES  # modes interleaved, so that noise of the machine hits them alike
        ]
        resync = _resync(client, collection)
    summary = {
        "collection": collection.name,
        "store": status.json()["store"],
        "documents": len(collection.documents),
        "queries": len(collection.queries),
        "ingestion": ingestion,
        "resync": resync,
        "modes": {
            mode: _summarise([record for record in records if record["mode"] == mode]) for mode in MODES
        },
    }
    return summary, records


def _refuse_errors(response: httpx.Response) -> None:
    """Raise HTTPStatusError with what the application said, if it is an error."""
    if response.is_error:
        why = error_text(response.read())
        message = f"{response.request.url.path} answered {response.status_code}: {why}"
        raise httpx.HTTPStatusError(message, request=response.request, response=response)


def _ingest(client: httpx.Client, collection: Collection) -> dict[str, Any]:
    began = time.perf_counter()
    outcomes: list[dict[str, Any]] = []
    documents = collection.documents
    for start in track(range(0, len(documents), BATCH), "ingesting", console=err):
        outcomes += _put(client, collection.name, documents[start : start + BATCH])
    seconds = time.perf_counter() - began
    failed = [outcome for outcome in outcomes if outcome["status"] == "failed"]
    return {
        "seconds": round(seconds, 2),
        "documents_per_s": round(len(documents) / seconds, 1),
        "chunks": sum(outcome["num_chunks"] for outcome in outcomes),
        "embedded": sum(outcome["num_embedded"] for outcome in outcomes),
        "failed": [{"path": outcome["path"], "reason": outcome["reason"]} for outcome in failed],
    }


def _resync(client: httpx.Client, collection: Collection) -> dict[str, Any]:
    """Sync again: nothing changed, then one document longer by a sentence."""
    began = time.perf_counter()
    plan = _plan(client, collection.name, collection.documents)
    unchanged_s = time.perf_counter() - began
    # Failed documents are wanted again by every plan; they are counted at ingestion.
    first = collection.documents[0]
    longer = Document(first.id, first.title, first.text + "\nOne more sentence stands here now.")
    outcome = _put(client, collection.name, [longer])[0]
    _put(client, collection.name, [first])
    return {
        "unchanged_documents": plan["num_unchanged"],
        "wanted_again": len(plan["upload"]),
        "seconds": round(unchanged_s, 3),
        "changed_document_chunks": outcome["num_chunks"],
        "changed_document_embedded": outcome["num_embedded"],
    }


def _plan(client: httpx.Client, source: str, documents: Sequence[Document]) -> dict[str, Any]:
    hashes = {
        _path(document): hashlib.sha256(_content(document).encode()).hexdigest() for document in documents
    }
    response = client.post("/v1/knowledge/sync/plan", json={"source": source, "documents": hashes})
    plan: dict[str, Any] = response.json()
    return plan


def _put(client: httpx.Client, source: str, documents: Sequence[Document]) -> list[dict[str, Any]]:
    body = {
        "source": source,
        "documents": [
            {"path": _path(document), "text": _content(document), "media_type": "application/json"}
            for document in documents
        ],
    }
    response = client.post("/v1/knowledge/documents", json=body)
    outcomes: list[dict[str, Any]] = response.json()["data"]
    return outcomes


def _path(document: Document) -> str:
    return f"{document.id}.json"


def _content(document: Document) -> str:
    return json.dumps({"title": document.title, "text": document.text}, ensure_ascii=False)


def _ask(client: httpx.Client, collection: Collection, query_id: str, mode: str) -> dict[str, Any]:
    body = {"query": collection.queries[query_id], "k": PASSAGES, "mode": mode}
    began = time.perf_counter()
    response = client.post("/v1/knowledge/search", json=body)
    seconds = time.perf_counter() - began
    found = response.json()
    if found["flags"]:
        raise httpx.HTTPError(f"query {query_id}: the search was {', '.join(found['flags'])}")
    # A document stands where its best passage stands.
    ranking = list(dict.fromkeys(Path(passage["path"]).stem for passage in found["data"]))[:10]
    grades = collection.qrels[query_id]
    scores = {name: metric(ranking, grades) for name, metric in METRICS.items()}
    return {"query": query_id, "mode": mode, **scores, "ms": round(seconds * 1000, 2), "ranking": ranking}


def _summarise(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    times = sorted(float(record["ms"]) for record in records)
    summary = {name: round(statistics.fmean(record[name] for record in records), 4) for name in METRICS}
    return summary | {
        "ms_p50": round(statistics.median(times), 1),
        "ms_p95": round(times[min(len(times) - 1, int(0.95 * len(times)))], 1),
    }


def _keep(
    arguments: argparse.Namespace,
    collection: Collection,
    summary: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
) -> None:
    settings = {
        "collection": collection.name,
        "split": collection.split,
        "profile": str(arguments.profile),
        "pause_s": arguments.pause,
    }
    folder = results_folder.new_folder(arguments.out, f"retrieval-{collection.name}-{summary['store']}")
    results_folder.fill(folder, settings, summary, records)
    _print(summary)
    print(f"raw records: {folder}")


def _print(summary: Mapping[str, Any]) -> None:
    table = Table(
        title=f"{summary['collection']} on {summary['store']}: {summary['documents']} documents, "
        f"{summary['queries']} queries"
    )
    for column in ("mode", *METRICS, "ms p50", "ms p95"):
        table.add_column(column, justify="left" if column == "mode" else "right")
    for mode, figures in summary["modes"].items():
        scores = [f"{figures[name]:.3f}" for name in METRICS]
        table.add_row(mode, *scores, f"{figures['ms_p50']:.1f}", f"{figures['ms_p95']:.1f}")
    Console().print(table)
    print(f"ingestion: {summary['ingestion']}")
    print(f"sync again: {summary['resync']}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder in BEIR's layout")
    parser.add_argument("--split", default=None, help="test, dev or train; default: the first that is there")
    parser.add_argument("--url", default=None, help="a running application; default: start one")
    parser.add_argument("--profile", type=Path, default=Path("configs/local.yaml"), help="what to start")
    parser.add_argument(
        "--pause",
        type=float,
        default=0.0,
        help="seconds between the last document and the first question: stores go on working on what they got",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results"), help="where the run's folder goes"
    )
    return parser.parse_args()
