"""The report of an evaluation run as one HTML file that loads nothing. Every text in it is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from serve_app.messages import JsonObject

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--bad:#c22;--good:#282}
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid var(--line);padding:.4rem .6rem;text-align:left;
vertical-align:top}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.bad{color:var(--bad);font-weight:600}.good{color:var(--good);font-weight:600}small{opacity:.75}
"""


def page(summary: JsonObject, records: Sequence[JsonObject]) -> str:
    """The whole file."""
    verdict = "passed" if summary["passed"] else "failed"
    head = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Evaluation: {verdict}</title><style>{_STYLE}</style>"
    )
    colour = "good" if summary["passed"] else "bad"
    title = f'<h1>Evaluation: <span class="{colour}">{verdict}</span></h1>'
    about = f"<p>{summary['num_cases']} answers, judged by {escape(str(summary['judge']))}"
    about += f" with the evaluator {escape(str(summary['evaluator']))}.</p>"
    return "\n".join((head, title, about, _metrics(summary["metrics"]), _cases(records), "</html>\n"))


def _metrics(metrics: JsonObject) -> str:
    rows = []
    for name, figures in metrics.items():
        is_met = figures.get("is_met")
        verdict = (
            ""
            if is_met is None
            else f'<span class="{_colour(is_met)}">{"met" if is_met else "missed"}</span>'
        )
        cells = (_number(figures.get("mean")), _number(figures.get("min")), _number(figures.get("threshold")))
        numbers = "".join(f'<td class="n">{cell}</td>' for cell in cells)
        rows.append(
            f'<tr><td>{escape(name)}</td>{numbers}<td class="n">{figures["share_unknown"]:.1%}</td>'
            f"<td>{verdict}</td></tr>"
        )
    header = "".join(f'<th class="n">{name}</th>' for name in ("mean", "lowest", "threshold", "unknown"))
    return f"<table><tr><th>metric</th>{header}<th></th></tr>{''.join(rows)}</table>"


def _cases(records: Sequence[JsonObject]) -> str:
    names = list(records[0]["scores"])
    header = "".join(f'<th class="n">{escape(name)}</th>' for name in names)
    rows = "".join(_case(record, names) for record in records)
    return f"<h2>Answers</h2><table><tr><th>question and answer</th>{header}</tr>{rows}</table>"


def _case(record: JsonObject, names: Sequence[str]) -> str:
    claims = "".join(f"<br><small>unsupported: {escape(claim)}</small>" for claim in record["unsupported"])
    reasons = "".join(
        f"<br><small>{escape(name)} unknown: {escape(reason)}</small>"
        for name, reason in record["unknown"].items()
    )
    text = f"<b>{escape(record['question'])}</b><br>{escape(record['answer'])}{claims}{reasons}"
    numbers = "".join(f'<td class="n">{_number(record["scores"][name])}</td>' for name in names)
    return f"<tr><td>{text}</td>{numbers}</tr>"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"  # noqa: RUF001 (a dash for what is missing)


def _colour(is_good: bool) -> str:  # noqa: FBT001
    return "good" if is_good else "bad"
