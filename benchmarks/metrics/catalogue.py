"""Every metric, in the order in which reports show them."""

from __future__ import annotations

from benchmarks.metrics.base import RequestMetric, RunMetric
from benchmarks.metrics.completed_rate import COMPLETED_RATE
from benchmarks.metrics.connect_time import CONNECT_TIME
from benchmarks.metrics.dispatch_delay import DISPATCH_DELAY
from benchmarks.metrics.e2e import E2E
from benchmarks.metrics.e2e_from_send import E2E_FROM_SEND
from benchmarks.metrics.error_rate import ERROR_RATE
from benchmarks.metrics.goodput import ATTAINMENT, GOODPUT
from benchmarks.metrics.itl import ITL
from benchmarks.metrics.offered_rate import OFFERED_RATE
from benchmarks.metrics.output_length_error import OUTPUT_LENGTH_ERROR
from benchmarks.metrics.output_rate import OUTPUT_RATE
from benchmarks.metrics.output_throughput import OUTPUT_THROUGHPUT, OUTPUT_THROUGHPUT_BY_CLIENT
from benchmarks.metrics.total_throughput import TOTAL_THROUGHPUT
from benchmarks.metrics.tpot import TPOT
from benchmarks.metrics.ttft import TTFT
from benchmarks.metrics.ttft_from_send import TTFT_FROM_SEND

REQUEST_METRICS: tuple[RequestMetric, ...] = (
    TTFT,
    ITL,
    TPOT,
    E2E,
    OUTPUT_RATE,
    TTFT_FROM_SEND,
    E2E_FROM_SEND,
    OUTPUT_LENGTH_ERROR,
    CONNECT_TIME,
    DISPATCH_DELAY,
)

RUN_METRICS: tuple[RunMetric, ...] = (
    OFFERED_RATE,
    COMPLETED_RATE,
    OUTPUT_THROUGHPUT,
    OUTPUT_THROUGHPUT_BY_CLIENT,
    TOTAL_THROUGHPUT,
    GOODPUT,
    ATTAINMENT,
    ERROR_RATE,
)
