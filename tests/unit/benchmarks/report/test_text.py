from __future__ import annotations

import io
import re
from typing import Any

from rich.console import Console

from benchmarks.report.text import headline_table, markdown


def printed(run: Any, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(headline_table(run))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_the_terminal_says_verdicts_percentiles_rates_and_the_client(make_run: Any) -> None:
    words = printed(make_run(workload={"objectives": {"ttft_ms": 5000}}))
    for expected in (
        "Valid",
        "Objectives met",
        "No failures",
        "p99.9",
        "from sending",
        "Goodput",
        "event loop",
    ):
        assert expected in words
    assert "hunter2" not in words


def test_it_fits_into_the_terminal(make_run: Any) -> None:
    run = make_run(num=2000, error_share=0.02, workload={"objectives": {"ttft_ms": 30}})
    assert max(map(len, printed(run, 80).splitlines())) <= 80


def test_percentiles_that_fall_on_failures_say_so(make_run: Any) -> None:
    run = make_run(num=2000, error_share=0.06)
    assert run.summary.percentile("ttft", "p95") is None
    (line,) = [line for line in printed(run).splitlines() if line.startswith("ttft")]
    assert line.split()[3] == "failed"


def test_too_few_requests_leave_a_percentile_empty(make_run: Any) -> None:
    (line,) = [
        line
        for line in printed(make_run(num=50, workload={"warm_up_s": 0})).splitlines()
        if line.startswith("ttft")
    ]
    assert line.split()[4:6] == ["\N{EN DASH}", "\N{EN DASH}"]


def test_a_closed_loop_is_called_one(make_run: Any) -> None:
    assert "capacity only" in printed(
        make_run(workload={"arrivals": {"process": "closed", "concurrency": 4}})
    )


def test_a_run_without_requests_prints_too(make_run: Any) -> None:
    assert "No requests" in printed(make_run(records=[]))


def test_markdown_has_the_same_figures_with_units(make_run: Any) -> None:
    run = make_run(num=2000)
    text = markdown(run)
    p95 = run.summary.percentile("ttft", "p95")
    (row,) = [line for line in text.splitlines() if line.startswith("| ttft, ms |")]
    assert row.split(" | ")[3] == f"{p95:.1f}"
    assert "requests/s |" in text
    assert "hunter2" not in text


def test_markdown_tables_have_as_many_cells_in_each_row(make_run: Any) -> None:
    run = make_run(settings={"target": {"url": "http://127.0.0.1", "model": "a|b`<c>"}})
    tables = markdown(run).split("\n\n")
    for lines in (table.splitlines() for table in tables if table.startswith("|")):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert r"a\|b\`\<c>" in markdown(run)
