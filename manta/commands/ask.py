"""`manta ask`: a question, the answer as it is made, and its sources."""

from __future__ import annotations

from typing import Any

import click
from rich.markup import escape

from configs.load import api_key
from manta.client import DEFAULT_URL, MantaClient
from manta.console import err, out


@click.command("ask")
@click.argument("question")
@click.option("--url", default=DEFAULT_URL, show_default=True, help="The server.")
@click.option("--tenant", default=None, help="Whose knowledge base to ask.")
@click.option("-k", "num_passages", type=int, default=None, help="Passages to answer from.")
@click.option(
    "--session", default=None, help="The conversation that this goes on with: a name of your choice."
)
@click.option("--user", default=None, help="Which of the tenant's users asks; sessions are theirs.")
def command(
    question: str,
    url: str,
    tenant: str | None,
    num_passages: int | None,
    session: str | None,
    user: str | None,
) -> int:
    """Ask QUESTION; exit code 0 when it was answered, 1 when not."""
    with MantaClient(url, tenant, api_key=api_key(), user=user) as client:
        return show_answer(client, question, num_passages, session)


def show_answer(
    client: MantaClient, question: str, num_passages: int | None = None, session: str | None = None
) -> int:
    """Print one answer: its steps on stderr, its text and sources on stdout."""
    shown = ""
    for event in client.ask(question, num_passages, session):
        data = event.data
        if event.name == "answer.delta":
            out.print(data["text"], end="", markup=False)
            shown += data["text"]
        elif event.name == "answer.final":
            _show_final(data, shown)
            return 0 if data["outcome"] != "abstained" else 1
        elif event.name == "error":
            err.print(f"manta: {data['error']['message']}", style="red", markup=False)
            return 1
        else:
            _show_step(event.name, data)
    err.print("manta: the stream ended without an answer", style="red")
    return 1


def _show_step(name: str, data: dict[str, Any]) -> None:
    if name == "retrieval":
        err.print(f"[dim]retrieved {data['n']} passages in {data['took_ms']:.0f} ms[/dim]")
    elif name == "grade":
        err.print(f"[dim]passages judged {data['verdict']}[/dim]")
    elif name == "rewrite":
        err.print(f"[dim]searching for: {escape('; '.join(data['queries']) or 'nothing else')}[/dim]")
    elif name == "web":
        err.print(f"[dim]web ({data['mode']}): {data['n']} pages[/dim]")
    elif name == "evaluation":
        scores = ", ".join(
            f"{metric} {'unknown' if score['value'] is None else format(score['value'], '.2f')}"
            for metric, score in data["metrics"].items()
        )
        # A server of an earlier version does not tell.
        by = f" by {escape(data['evaluator'])}" if data.get("evaluator") else ""
        err.print(f"[dim]answer judged {data['verdict']}{by}{': ' + scores if scores else ''}[/dim]")


def _show_final(data: dict[str, Any], shown: str) -> None:
    text = data["text"]
    if text.strip() != shown.strip():
        if shown:
            out.print("\n")
        out.print(text, end="", markup=False)
    out.print()
    for citation in data["citations"]:
        place = " > ".join(citation["headings"]) or citation["title"]
        page = f", page {citation['page']}" if citation.get("page") else ""
        out.print(f"  [{citation['n']}] {citation['source']}/{citation['path']}: {place}{page}", markup=False)
    if data["flags"]:
        out.print(f"[dim]flags: {escape(', '.join(data['flags']))}[/dim]")
    for note in data["notes"]:
        out.print(f"[dim]note: {escape(note)}[/dim]")
