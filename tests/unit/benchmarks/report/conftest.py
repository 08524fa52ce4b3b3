"""Made-up runs: a server whose answers take lognormal times, with what goes wrong on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.records import ClientSample, Outcome, Record
from benchmarks.summary.summarise import Summary, summarise
from configs.workload import ClosedLoop, Workload

DETAILS = {Outcome.HTTP_ERROR: "500 <b>boom</b>", Outcome.TIMEOUT: "", Outcome.RESET: "[Errno 104] reset"}


@dataclass(frozen=True)
class MadeRun:
    folder: Path
    workload: Workload
    settings: Mapping[str, Any]
    records: tuple[Record, ...]
    samples: tuple[ClientSample, ...]
    summary: Summary


MakeRun = Callable[..., MadeRun]


def make_records(
    num: int,
    duration_s: float,
    *,
    seed: int = 1,
    num_tokens: int = 32,
    error_share: float = 0.0,
    stall: tuple[float, float] | None = None,
    is_stream: bool = True,
    entry: str = "chat",
) -> list[Record]:
    """Requests at a Poisson rate; `stall` is (start, seconds) in which the server says nothing."""
    rng = np.random.default_rng(seed)
    arrivals_s = np.sort(rng.uniform(0, duration_s, num))
    ttft_s = rng.lognormal(np.log(0.045), 0.35, num) * (1 + 1.5 * np.exp(-arrivals_s / 2))
    late_s = rng.gamma(1.2, 0.00012, num)
    kinds = (Outcome.HTTP_ERROR, Outcome.TIMEOUT, Outcome.RESET)
    records = []
    for index, (at_s, wait_s, late) in enumerate(zip(arrivals_s, ttft_s, late_s, strict=True)):
        first_s = at_s + wait_s
        if stall is not None and stall[0] <= first_s < stall[0] + stall[1]:
            first_s = stall[0] + stall[1] + float(rng.uniform(0, 0.2))
        record = Record(
            index=index,
            entry=entry,
            worker=index % 2,
            outcome=Outcome.OK,
            intended_ns=_ns(at_s),
            sent_ns=_ns(at_s + late),
            connect_ns=_ns(0.0003) if index < 20 else None,
            headers_ns=_ns(first_s - 0.0004),
            end_ns=_ns(first_s),
            is_stream=is_stream,
            num_prompt_tokens=int(rng.normal(128, 12)),
            num_planned_prompt_tokens=128,
            status=200,
        )
        if rng.random() < error_share:
            record.outcome = kinds[int(rng.integers(3))]
            record.status = 500 if record.outcome is Outcome.HTTP_ERROR else None
            record.detail = DETAILS[record.outcome]
        elif is_stream:
            gaps_us = rng.lognormal(np.log(11_000), 0.25, max(0, num_tokens - 1)).astype(int)
            record.gaps_us = gaps_us.tolist()
            record.first_token_ns = _ns(first_s)
            record.last_token_ns = record.first_token_ns + int(gaps_us.sum()) * 1000
            record.end_ns = record.last_token_ns + 40_000
            record.num_pieces = record.num_output_tokens = num_tokens
            record.num_planned_output_tokens = num_tokens
        records.append(record)
    return records


def make_samples(records: list[Record], *, cpu: float = 0.31, lag_ms: float = 0.2) -> list[ClientSample]:
    """Two workers, a sample a second."""
    last_s = int(max(record.end_ns for record in records) / 1e9) + 2
    rng = np.random.default_rng(7)
    sent: dict[tuple[int, int], int] = {}
    ended: dict[tuple[int, int], int] = {}
    outcomes: dict[tuple[int, int], dict[str, int]] = {}
    ttft_ms: dict[tuple[int, int], list[float]] = {}
    for record in records:
        if record.sent_ns is not None:
            place = (record.worker, int(record.sent_ns / 1e9))
            sent[place] = sent.get(place, 0) + 1
        place = (record.worker, int(record.end_ns / 1e9))
        ended[place] = ended.get(place, 0) + 1
        kinds = outcomes.setdefault(place, {})
        kinds[record.outcome] = kinds.get(record.outcome, 0) + 1
        if record.first_token_ns is not None:
            place = (record.worker, int(record.first_token_ns / 1e9))
            ttft_ms.setdefault(place, []).append((record.first_token_ns - record.intended_ns) / 1e6)
    in_flight = [0, 0]
    samples = []
    for second in range(last_s):
        for worker in (0, 1):
            place = (worker, second)
            in_flight[worker] += sent.get(place, 0) - ended.get(place, 0)
            wobble = float(rng.gamma(2, 0.5))
            samples.append(
                ClientSample(
                    worker=worker,
                    at_s=second + 1.0,
                    num_sent=sent.get(place, 0),
                    num_ended=ended.get(place, 0),
                    num_in_flight=in_flight[worker],
                    num_connections=20,
                    cpu=min(1.0, cpu * (0.9 + 0.1 * wobble)),
                    cpu_wait=0.01 * wobble,
                    lag_max_ms=lag_ms * 4 * wobble,
                    lag_p50_ms=lag_ms / 2,
                    lag_p99_ms=lag_ms * 2 * wobble,
                    num_outcomes=outcomes.get(place, {}),
                    ttft_ms=ttft_ms.get(place, []),
                )
            )
    return samples


def made_run(
    folder: Path,
    records: list[Record],
    workload: Workload,
    *,
    cpu: float = 0.31,
    lag_ms: float = 0.2,
    **settings: Any,
) -> MadeRun:
    """A run of these records."""
    samples = make_samples(records, cpu=cpu, lag_ms=lag_ms) if records else []
    duration_s = workload.duration_s or 60.0
    summary = summarise(
        records,
        samples,
        workload,
        arrivals_end_s=duration_s,
        is_closed_loop=isinstance(workload.arrivals, ClosedLoop),
    )
    ended = tuple(sorted(records, key=lambda record: record.end_ns))
    return MadeRun(folder, workload, SETTINGS | settings, ended, tuple(samples), summary)


SETTINGS: dict[str, Any] = {
    "time_utc": "2026-11-23T10:15:00Z",
    "target": {
        "url": "http://user:hunter2@127.0.0.1:8000/base?token=hunter2",
        "model": "mock",
        "header_names": ["x-tenant"],
        "has_api_key": True,
        "can_hold_length": True,
        "notes": ["no /tokenize for mock: 404"],
        "prompt_lengths": {"exactness": "exact", "reason": "by the server's usage", "tokenizers": []},
    },
    "schedule": {"digest": "ab" * 32, "num_requests": 600, "duration_s": 60.0},
    "num_workers": 2,
    "machine": {
        "cpu": "Example CPU",
        "cores": 4,
        "system": "Linux x86_64",
        "python": "3.11.9",
        "commit": "0123456789ab+",
        "libraries": {"numpy": "2.2.0"},
    },
}


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


class Page(HTMLParser):
    """A page as a browser reads it; complains about what browsers only forgive."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""  # what a reader sees
        self.links: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []  # (element, attribute, value)
        self.scripts: list[tuple[str | None, str]] = []  # (type, content)
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if "id" in found:
            self.ids.append(found["id"] or "")
        if tag == "a":
            self.links.append(found["href"] or "")
        if tag == "script":
            self.scripts.append((found.get("type"), ""))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] = (self.scripts[-1][0], data)
        elif not self.open or self.open[-1] != "style":
            self.text += data


@pytest.fixture(name="make_records")
def make_records_fixture() -> Callable[..., list[Record]]:
    return make_records


@pytest.fixture
def read_page() -> type[Page]:
    """Reads a page: `read_page(render_run(run)).text`."""
    return Page


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """A run of so many requests in so many seconds, by `make_records`, with settings and a workload."""

    def make(
        num: int = 600,
        duration_s: float = 60.0,
        *,
        workload: Mapping[str, Any] | None = None,
        cpu: float = 0.31,
        lag_ms: float = 0.2,
        settings: Mapping[str, Any] | None = None,
        records: list[Record] | None = None,
        **kwargs: Any,
    ) -> MadeRun:
        document = {
            "name": "made",
            "duration_s": duration_s,
            "arrivals": {"process": "poisson", "rate_rps": num / duration_s},
            **(workload or {}),
        }
        if records is None:
            records = make_records(num, duration_s, **kwargs)
        parsed = Workload.model_validate(document)
        return made_run(tmp_path, records, parsed, cpu=cpu, lag_ms=lag_ms, **(settings or {}))

    return make
