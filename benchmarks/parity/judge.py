"""Answers of both servers -> a verdict for each case, and for the whole. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

from benchmarks.parity.ask import Answer
from benchmarks.parity.by_design import RULES, Rule, rule_for
from benchmarks.parity.cases import Case
from benchmarks.parity.compare import Difference, differences
from benchmarks.parity.normalise import normalised

# `unstable`: the bare server itself answered differently when it was asked again, so nothing can be said.
Outcome = Literal["equal", "by design", "different", "unstable"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of one case."""

    case: str
    outcome: Outcome
    status: int  # the bare server's
    found: tuple[Difference, ...]  # that must not be; of an unstable case the bare server's from itself
    by_design: tuple[tuple[Difference, str], ...]  # and the reason

    def record(self) -> dict[str, Any]:
        """For records.jsonl."""
        return asdict(self)


def judge(
    case: Case, first: Answer, ours: Answer, again: Answer, tolerance: float, rules: tuple[Rule, ...] = RULES
) -> Verdict:
    """Compare ours with the bare server's first answer; `again` is its answer to the same, asked last."""
    theirs = normalised(first)
    own = tuple(differences(theirs, normalised(again), tolerance))
    if own:
        return Verdict(case.name, "unstable", first.status, own, ())
    found, allowed = [], []
    for difference in differences(theirs, normalised(ours), tolerance):
        rule = rule_for(case.name, difference.path, rules)
        if rule is None:
            found.append(difference)
        else:
            allowed.append((difference, rule.reason))
    outcome: Outcome = "different" if found else "by design" if allowed else "equal"
    return Verdict(case.name, outcome, first.status, tuple(found), tuple(allowed))


def summary(
    verdicts: Sequence[Verdict], num_not_asked: int, rules: tuple[Rule, ...] = RULES
) -> dict[str, Any]:
    """Of the run: how many were how, and what keeps it from 100 %."""
    counts = {outcome: sum(one.outcome == outcome for one in verdicts) for outcome in get_args(Outcome)}
    used = {rule_for(one.case, found.path, rules) for one in verdicts for found, _ in one.by_design}
    asked = [rule for rule in rules if any(fnmatchcase(one.case, rule.cases) for one in verdicts)]
    idle = [f"{rule.cases}: {rule.fields}" for rule in asked if rule not in used]
    num_judged = len(verdicts) - counts["by design"]
    return {
        "num_requests": len(verdicts),
        "num_not_asked": num_not_asked,
        **{f"num_{outcome.replace(' ', '_')}": count for outcome, count in counts.items()},
        "parity": counts["equal"] / num_judged if num_judged else None,
        "rules_that_cover_nothing": idle,
        "passed": bool(verdicts) and not (counts["different"] or counts["unstable"] or num_not_asked),
    }
