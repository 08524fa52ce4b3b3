"""The verdicts that a reader meets first: may the run be believed, was it good enough, did the server keep up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.records import Outcome
from benchmarks.report.inputs import RunLike
from benchmarks.report.wording import count, seconds, share
from benchmarks.summary.figures import Figures

Tone = Literal["good", "warn", "bad", "none"]
SYMBOLS = {"good": "\N{CHECK MARK}", "warn": "!", "bad": "\N{MULTIPLICATION X}", "none": "\N{EN DASH}"}

OUTCOME_WORDS = {
    Outcome.OK: "answered",
    Outcome.ABANDONED: "abandoned, as planned",
    Outcome.REFUSED: "refused (429, or 503 with Retry-After)",
    Outcome.HTTP_ERROR: "other HTTP error",
    Outcome.STREAM_ERROR: "error inside the stream",
    Outcome.TRUNCATED: "ended before its end",
    Outcome.CONNECT: "no connection",
    Outcome.RESET: "connection broke",
    Outcome.TIMEOUT: "timed out",
    Outcome.PROTOCOL: "not HTTP, JSON or events",
    Outcome.INTERRUPTED: "cut off when the run was stopped",
}
CLOSED_LOOP = (
    "Its latencies are not what users of an open service would see: nobody arrives while others wait."
)
_NO_FAILURE = frozenset({Outcome.OK, Outcome.ABANDONED, Outcome.INTERRUPTED})


@dataclass(frozen=True, slots=True)
class Judgement:
    """One verdict: a few words, and what they rest on."""

    tone: Tone
    words: str
    reasons: tuple[str, ...]


def judgements(run: RunLike) -> tuple[Judgement, ...]:
    """Valid, good enough, kept up, failures; what it cannot tell, and why it ended early, if it did."""
    found = [_validity(run), _objectives(run), _saturation(run), _failures(run)]
    if not run.summary.latencies_are_headline:
        found.append(Judgement("none", "Closed loop: capacity only", (CLOSED_LOOP,)))
    stopped = run.settings.get("stopped_because")
    if stopped:
        found.append(Judgement("warn", "Ended early", (str(stopped),)))
    return tuple(found)


def _validity(run: RunLike) -> Judgement:
    certification = run.summary.certification
    if run.settings.get("is_simulated"):
        return Judgement("none", "Simulated", ("No client sent anything, so there is none to be judged.",))
    if not certification.is_valid:
        return Judgement("bad", "Not valid: do not use these figures", certification.reasons)
    if not certification.figures:
        return Judgement("good", "Valid", ("Nothing speaks against the client.",))
    largest = max(certification.figures, key=lambda explained: explained.share)
    reason = (
        f"The client could explain at most {share(largest.share)} of a headline figure ({largest.figure}); "
        "5 % would make them invalid."
    )
    return Judgement("good", "Valid", (reason,))


def _objectives(run: RunLike) -> Judgement:
    result = run.summary.objectives
    if result is None:
        return Judgement("none", "No objectives", ("The workload names none, so there is no goodput.",))
    limits = ", ".join(f"{name} at most {limit:g} ms" for name, limit in result.limits_ms.items())
    needed = f"{result.required_attainment * 100:g} % needed"
    reason = f"{limits}: met by {share(result.attainment)} of the requests, {needed}."
    if result.is_met is None:
        return Judgement("none", "Objectives not judged", (f"{limits}: no request can be judged.",))
    words = "Objectives met" if result.is_met else "Objectives not met"
    return Judgement("good" if result.is_met else "bad", words, (reason,))


def _saturation(run: RunLike) -> Judgement:
    verdict, window = run.summary.saturation, run.summary.window
    figures = (
        f"Figures are of {seconds(window.start_s)} to {seconds(window.end_s)}: {_sentence(window.reason)}"
    )
    reasons = (_sentence(verdict.reason, is_start=True), figures)
    if verdict.is_saturated:
        return Judgement("bad", "Saturated: the server fell behind", reasons)
    if verdict.is_saturated is None:
        return Judgement("none", "Saturation not judged", reasons)
    if window.is_settled is False:
        return Judgement("warn", "Kept up, but never settled", reasons)
    return Judgement("good", "Kept up", reasons)


def _failures(run: RunLike) -> Judgement:
    figures = run.summary.overall
    failed = [(name, num) for name, num in by_number(figures) if name not in _NO_FAILURE]
    if not figures.num_requests:
        return Judgement("bad", "No requests", ("None arrived in the measured window.",))
    if not failed:
        return Judgement(
            "good", "No failures", (f"None of {count(figures.num_requests, 'request')} failed.",)
        )
    total = sum(num for _, num in failed)
    kinds = ", ".join(f"{num:,} {OUTCOME_WORDS[Outcome(name)]}" for name, num in failed)
    of_all = f"{total:,} of {count(figures.num_requests, 'request')} ({share(total / figures.num_requests)})"
    return Judgement(
        "warn", "Some requests failed", (f"{of_all}: {kinds}. They count as slower than all others.",)
    )


def by_number(figures: Figures) -> list[tuple[str, int]]:
    """(outcome, how many), most frequent first."""
    return sorted(figures.outcomes.items(), key=lambda item: -item[1])


def _sentence(words: str, *, is_start: bool = False) -> str:
    return f"{words[:1].upper() if is_start else words[:1]}{words[1:].rstrip('.')}."
