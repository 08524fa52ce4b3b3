"""What an engineer learns who has only the file."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from benchmarks.metrics.catalogue import REQUEST_METRICS, RUN_METRICS
from benchmarks.records import Outcome, Record
from benchmarks.report.headline import tiles
from benchmarks.report.page import write_report
from benchmarks.report.run_page import render_run
from benchmarks.summary.certification import MAX_SHARE

EVIL = "</script><img src=x onerror=alert(1)>\"'&"


def test_the_page_is_whole_and_asks_for_nothing(make_run: Any, read_page: Any) -> None:
    page = read_page(render_run(make_run(error_share=0.02)))
    assert {attribute for _, attribute, _ in page.attributes}.isdisjoint(
        {"src", "srcset", "action", "onload"}
    )
    assert all(link.startswith("#") for link in page.links)
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert ("link" in {element for element, _, _ in page.attributes}) is False


def test_only_its_own_script_may_run_and_nothing_may_be_fetched(make_run: Any, read_page: Any) -> None:
    page = read_page(render_run(make_run()))
    (policy,) = [
        value
        for element, name, value in page.attributes
        if element == "meta" and "default-src" in (value or "")
    ]
    (script,) = [content for kind, content in page.scripts if kind is None]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'")
    assert f"script-src 'sha256-{digest}'" in policy
    assert "connect-src" not in policy
    assert "img-src" not in policy


def test_what_comes_from_outside_stays_text(make_run: Any, read_page: Any) -> None:
    run = make_run(
        num=60,
        workload={"requests": [{"kind": "chat", "extra_body": {"x": EVIL}}]},
        settings={
            "target": {"url": f"http://127.0.0.1/{EVIL}", "model": EVIL, "notes": [EVIL]},
            "stopped_because": EVIL,
            "machine": {"cpu": EVIL},
        },
    )
    for record in run.records[:5]:
        record.outcome, record.detail = Outcome.HTTP_ERROR, EVIL
    html = render_run(run, {1.0: EVIL})
    page = read_page(html)
    assert "<img" not in html
    assert {name for _, name, _ in page.attributes}.isdisjoint({"onerror", "src"})
    assert page.text.count(EVIL) >= 6
    assert all(kind is None or json.loads(content) for kind, content in page.scripts)


def test_secrets_of_the_address_are_not_in_it(make_run: Any) -> None:
    run = make_run(settings={"command": "manta bench run --url http://user:hunter2@127.0.0.1:8000"})
    html = render_run(run)
    assert "hunter2" not in html
    assert "http://127.0.0.1:8000/base" in html


def test_it_says_first_whether_it_may_be_believed(make_run: Any, read_page: Any) -> None:
    good = read_page(render_run(make_run(num=2000))).text
    busy = read_page(render_run(make_run(num=2000, cpu=0.95))).text
    assert "Not valid" not in good
    assert "Not valid: do not use these figures" in busy
    assert busy.index("Not valid") < busy.index("ttft p95")
    assert "of a core in" in busy


def test_figures_that_the_client_could_explain_are_framed(make_run: Any, read_page: Any) -> None:
    run = make_run(num=2000, lag_ms=3.0, workload={"warm_up_s": 0})
    doubtful = {one.figure for one in run.summary.certification.figures if one.share > MAX_SHARE}
    assert "itl p50" in doubtful
    assert "e2e p50" not in doubtful
    framed = read_page(render_run(run)).attributes.count(("span", "class", "chip warn"))
    assert framed == len(doubtful)
    assert ("span", "class", "chip warn") not in read_page(render_run(make_run(num=2000))).attributes


def test_objectives_met_and_missed(make_run: Any, read_page: Any) -> None:
    met = read_page(render_run(make_run(workload={"objectives": {"ttft_ms": 5000}}))).text
    missed = read_page(render_run(make_run(workload={"objectives": {"ttft_ms": 30}}))).text
    assert "Objectives met" in met
    assert "objective 5000 ms" in met
    assert "Objectives not met" in missed
    assert "No objectives" in read_page(render_run(make_run())).text


def test_failures_are_counted_by_kind_and_quoted(make_run: Any, read_page: Any) -> None:
    run = make_run(num=1000, error_share=0.05)
    text = read_page(render_run(run)).text
    num = sum(record.outcome is Outcome.HTTP_ERROR for record in run.records)
    assert f"other HTTP error ({num:,})" in text
    assert "500 <b>boom</b>" in text
    assert "failed left out" in text
    assert "Errors over time" in text


def test_a_run_without_failures_has_no_section_for_them(make_run: Any, read_page: Any) -> None:
    page = read_page(render_run(make_run()))
    assert "errors" not in page.ids
    assert "No failures" in page.text


def test_what_was_run_and_how_to_run_it_again(make_run: Any, read_page: Any) -> None:
    text = read_page(render_run(make_run())).text
    for words in (
        "ab" * 32,
        "Example CPU, 4 cores",
        "0123456789ab+",
        "10 requests/s, Poisson, for 1 min",
        "manta bench run workload.yaml --url http://127.0.0.1:8000/base --model mock --header 'x-tenant: ...' "
        "--api-key-env NAME",
    ):
        assert words in text


def test_every_metric_is_defined(make_run: Any, read_page: Any) -> None:
    text = read_page(render_run(make_run(num=100))).text
    for metric in (*REQUEST_METRICS, *RUN_METRICS):
        assert metric.formula in text


def test_each_entry_of_a_mix_has_its_figures(make_run: Any, make_records: Any, read_page: Any) -> None:
    records = make_records(300, 60.0, entry="talk") + make_records(100, 60.0, entry="find", is_stream=False)
    for index, record in enumerate(records):
        record.index = index
    entries = [{"kind": "chat", "name": "talk"}, {"kind": "embeddings", "name": "find"}]
    run = make_run(records=records, workload={"requests": entries, "warm_up_s": 0.0})
    text = read_page(render_run(run)).text
    assert "talk: 300 requests" in text
    assert "find: 100 requests" in text


def test_embeddings_have_no_first_token(make_run: Any, read_page: Any) -> None:
    run = make_run(workload={"requests": [{"kind": "embeddings", "name": "chat"}]}, is_stream=False)
    page = read_page(render_run(run))
    assert "e2e p95" in page.text
    assert "ttft p95" not in page.text
    assert "Time to the first token" not in page.text


def test_a_closed_loop_says_that_it_measures_capacity_only(make_run: Any, read_page: Any) -> None:
    run = make_run(workload={"arrivals": {"process": "closed", "concurrency": 4}})
    text = read_page(render_run(run)).text
    assert "Closed loop: capacity only" in text
    assert [tile.name for tile in tiles(run)] == ["Answered", "Output"]


@pytest.mark.parametrize("error_share", [0.0, 1.0])
def test_odd_runs_have_a_page_too(make_run: Any, read_page: Any, error_share: float) -> None:
    few = make_run(num=3, duration_s=0.5, error_share=error_share)
    assert "3 requests" in read_page(render_run(few)).text


def test_a_run_that_was_stopped_at_once(make_run: Any, read_page: Any) -> None:
    nothing = make_run(records=[], settings={"stopped_because": "interrupted"})
    text = read_page(render_run(nothing)).text
    assert "Ended early" in text
    assert "No requests" in text
    never_sent = [
        Record(i, "chat", 0, Outcome.INTERRUPTED, i * 10**8, 10**9, is_stream=True) for i in range(5)
    ]
    text = read_page(render_run(make_run(records=never_sent, duration_s=1.0))).text
    assert "cut off when the run was stopped" in text


def test_events_are_marked_on_the_plots(make_run: Any, read_page: Any) -> None:
    assert read_page(render_run(make_run(), {12.0: "replica killed"})).text.count("replica killed") >= 3


def test_the_size_is_bounded_and_sampling_is_told(make_run: Any) -> None:
    pages = [render_run(make_run(num=num, num_tokens=2, error_share=0.01)) for num in (6_000, 24_000)]
    assert len(pages[1]) < 1.2 * len(pages[0])
    assert len(pages[1]) < 500_000
    assert "3,000 of 23,7" in pages[1] or "3,000 of 23,8" in pages[1]


def test_the_same_run_makes_the_same_page(make_run: Any) -> None:
    run = make_run(error_share=0.05)
    assert render_run(run) == render_run(run)


def test_the_report_lies_beside_the_records(make_run: Any) -> None:
    run = make_run(num=50)
    path = write_report(run)
    assert path == run.folder / "report.html"
    assert path.read_text(encoding="utf-8") == render_run(run)
