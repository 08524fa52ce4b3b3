"""`manta kb search`: passages, and with --explain how each of them came to its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from configs.load import api_key
from manta.client import DEFAULT_URL, MantaClient
from manta.console import err, out

_MAX_TEXT_CHARS = 300


@click.command("search")
@click.argument("query")
@click.option("--url", default=DEFAULT_URL, show_default=True, help="The server.")
@click.option("--tenant", default=None, help="Whose knowledge base.")
@click.option(
    "-k", "num_passages", type=click.IntRange(1, 1000), default=6, show_default=True, help="Passages."
)
@click.option(
    "--mode",
    type=click.Choice(["hybrid", "lexical", "dense"]),
    default="hybrid",
    show_default=True,
    help="Which legs run.",
)
@click.option("--source", default=None, help="Only passages of this source.")
@click.option("--lexical-weight", type=click.FloatRange(0, 100), default=1.0, show_default=True)
@click.option("--dense-weight", type=click.FloatRange(0, 100), default=1.0, show_default=True)
@click.option("--rerank/--no-rerank", default=None, help="With or without the reranker; else as configured.")
@click.option("--explain", is_flag=True, help="Show each leg's rank and score, and what the stages took.")
def command(
    query: str,
    url: str,
    tenant: str | None,
    num_passages: int,
    mode: str,
    source: str | None,
    lexical_weight: float,
    dense_weight: float,
    *,
    rerank: bool | None,
    explain: bool,
) -> int:
    """Show the passages that fit QUERY best. Exit code 1: there are none."""
    body = {
        "query": query,
        "k": num_passages,
        "mode": mode,
        "filters": {"source": source} if source else {},
        "weights": {"lexical": lexical_weight, "dense": dense_weight},
        "rerank": rerank,
        "explain": explain,
    }
    with MantaClient(url, tenant, api_key=api_key()) as client:
        found = client.search(body)
    passages = found["data"]
    if explain and passages:
        out.print(_explained(passages))
        stages = ", ".join(f"{name} {took_ms:.1f} ms" for name, took_ms in found["stages_ms"].items())
        err.print(f"{found['took_s'] * 1000:.1f} ms in all: {stages}", markup=False)
    else:
        for rank, passage in enumerate(passages, start=1):
            _show(rank, passage)
    for flag in found["flags"]:
        err.print(f"flag: {flag}", style="yellow", markup=False)
    for name in found.get("stale_sources", ()):
        err.print(f"not current: {name} (manta kb status)", style="yellow", markup=False)
    if not passages:
        err.print("nothing was found")
    return 0 if passages else 1


def _show(rank: int, passage: Mapping[str, Any]) -> None:
    out.print(f"{rank}. {_place(passage)}", style="bold", markup=False)
    text = " ".join(str(passage["text"]).split())
    out.print(f"   {text[:_MAX_TEXT_CHARS]}{'...' if len(text) > _MAX_TEXT_CHARS else ''}", markup=False)


def _explained(passages: list[dict[str, Any]]) -> Table:
    """A row a passage: its place, its score, and what each leg and the reranker said of it."""
    table = Table(box=None, pad_edge=False)
    table.add_column("passage", overflow="fold")
    for title in ("score", "lexical", "bm25", "dense", "cosine", "rerank"):
        table.add_column(title, justify="right")
    for rank, one in enumerate(passages, start=1):
        table.add_row(
            escape(f"{rank}. {_place(one)}"),
            _number(one["score"], ".4f"),
            _rank(one["lexical_rank"]),
            _number(one["bm25"], ".2f"),
            _rank(one["dense_rank"]),
            _number(one["cosine"], ".3f"),
            _number(one["rerank"], ".3f"),
        )
    return table


def _place(passage: Mapping[str, Any]) -> str:
    page = f", page {passage['page']}" if passage["page"] is not None else ""
    headings = " > ".join(passage["headings"])
    return f"{passage['source']}/{passage['path']}{page}{f' ({headings})' if headings else ''}"


def _rank(rank: int | None) -> str:
    return "-" if rank is None else f"#{rank}"


def _number(value: float | None, how: str) -> str:
    return "-" if value is None else format(value, how)
