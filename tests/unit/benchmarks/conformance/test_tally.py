"""How requests ended, as their clients see it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.client.exchange import NO_END
from benchmarks.conformance.tally import Ending, Wrong, ended, ending, tally
from benchmarks.records import Outcome, Record

MakeRecord = Callable[..., Record]
TEXT = "manta ray glides "


@pytest.mark.parametrize(
    ("outcome", "detail", "kind"),
    [
        (Outcome.OK, "", Ending.COMPLETED),
        (Outcome.STREAM_ERROR, "the engine is gone", Ending.TOLD),
        (Outcome.TRUNCATED, NO_END, Ending.LOST),
        (Outcome.TRUNCATED, "the server closed the connection early", Ending.BROKEN),
        (Outcome.RESET, "the connection broke", Ending.BROKEN),
        (Outcome.TIMEOUT, "", Ending.LOST),
        (Outcome.REFUSED, "", Ending.REFUSED),
        (Outcome.HTTP_ERROR, "", Ending.ERROR),
        (Outcome.CONNECT, "", Ending.UNANSWERED),
        (Outcome.ABANDONED, "", Ending.OUTSIDE),
        (Outcome.INTERRUPTED, "", Ending.OUTSIDE),
    ],
)
def test_each_outcome_has_an_ending(
    make_record: MakeRecord, outcome: Outcome, detail: str, kind: Ending
) -> None:
    assert ending(make_record(outcome=outcome, detail=detail)) is kind


@pytest.mark.parametrize("outcome", [Outcome.RESET, Outcome.TIMEOUT])
def test_without_a_status_nothing_had_begun(make_record: MakeRecord, outcome: Outcome) -> None:
    record = make_record(outcome=outcome, headers_ns=None, first_token_ns=None)
    assert ending(record) is Ending.UNANSWERED


def test_a_stream_that_still_hangs_when_the_run_ends_is_lost(make_record: MakeRecord) -> None:
    hanging = make_record(outcome=Outcome.INTERRUPTED, took_s=12.0)
    running = make_record(outcome=Outcome.INTERRUPTED, took_s=1.0)
    kinds = [request.kind for request in ended([hanging, running], hung_after_s=10.0)]
    assert kinds == [Ending.LOST, Ending.OUTSIDE]


def test_a_window_is_counted(make_record: MakeRecord) -> None:
    records = [
        make_record(text=TEXT, num_pieces=3),
        make_record(text="manta manta ray glides ", num_pieces=4, index=1),
        make_record(outcome=Outcome.STREAM_ERROR, text="manta ", num_pieces=1),
        make_record(outcome=Outcome.REFUSED),
        make_record(outcome=Outcome.INTERRUPTED),
        make_record(entry="agent", text="who knows", num_pieces=2),
    ]
    counted = tally(ended(records), {"seed-0": TEXT})
    assert counted.num_asked == 5
    assert counted.num_started == 4
    assert counted.num_failed == 2
    assert counted.num_compared == 3
    assert counted.num_doubled == 1
    assert counted.num_missing == 0
    assert [(wrong.index, len(wrong.doubled)) for wrong in counted.wrong] == [(1, 1)]
    assert counted.num_vain_tokens == 1
    assert counted.slowest_first_token_ms == pytest.approx(50.0)


def test_an_answer_that_ended_well_and_is_too_short_misses_tokens(make_record: MakeRecord) -> None:
    counted = tally(ended([make_record(text="manta ray ", num_pieces=2)]), {"seed-0": TEXT})
    assert counted.wrong == (Wrong(0, (), (2,)),)


def test_the_longest_pause_is_of_a_stream_that_was_completed(make_record: MakeRecord) -> None:
    records = [
        make_record(gaps_us=[25_000, 3_000_000, 25_000]),
        make_record(outcome=Outcome.RESET, gaps_us=[9]),
    ]
    assert tally(ended(records), {}).longest_pause_ms == pytest.approx(3000.0)


def test_where_nothing_was_completed_there_is_no_slowest_first_token(make_record: MakeRecord) -> None:
    assert tally(ended([make_record(outcome=Outcome.CONNECT)]), {}).slowest_first_token_ms is None
