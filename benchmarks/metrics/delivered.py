"""What part of an answer came within a window: the ground of every throughput.

Tokens count when they arrive, over the same seconds, whoever had asked. Counting all tokens of the requests
that arrived in the window would show an overloaded server at the offered rate, because its backlog is
answered after the window. Counted so, a server that falls behind shows what it delivers, and the answers
that outlast the window at its end balance those from before its start (a window that starts with the run has
none of these, and is short of what was in flight at its end).
"""

from __future__ import annotations

from itertools import accumulate

from benchmarks.metrics.base import Window
from benchmarks.records import Record


def share_within(record: Record, window: Window) -> float:
    """The share of the answer's pieces that came in the window, 0 to 1.

    By the time of each piece; where the run kept none, evenly between the first and the last. An answer that
    is no stream comes at its end.
    """
    first_ns, last_ns = record.first_token_ns, record.last_token_ns
    if first_ns is None or last_ns is None:
        return 0.0 if record.is_stream else float(window.holds(record.end_ns))
    if window.holds(first_ns) and window.holds(last_ns):
        return 1.0
    start_ns, end_ns = window.start_s * 1e9, window.end_s * 1e9
    if last_ns < start_ns or first_ns >= end_ns:
        return 0.0
    if record.gaps_us:
        times_us = accumulate(record.gaps_us, initial=first_ns // 1000)
        return sum(start_ns <= time_us * 1e3 < end_ns for time_us in times_us) / (len(record.gaps_us) + 1)
    return (min(last_ns, end_ns) - max(first_ns, start_ns)) / (last_ns - first_ns)
