"""`python -m benchmarks cascade`: the cost and quality of a small model before a large one, by threshold.

Asks each question of a labelled set of the small model (with log-probabilities) and of the large one, at temperature
0, and makes of these answers what a cascade with each threshold would cost and get right, against small only, large
only, and a coin of the same cost. With `--group` the group of that name is asked as well, so that what really happens
stands beside what was to be expected. With `--stand-in` two made-up models answer, to try it out; with
`--stand-in-group` an application before them, too, whose group sends on what the small one is not sure of.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks import results_folder
from benchmarks.cascade.behind import GROUP, behind_a_group
from benchmarks.cascade.curve import (
    Answered,
    Point,
    best_gain,
    coin,
    curve,
    gain_interval,
    large_only,
    small_only,
)
from benchmarks.cascade.questions import Question, generated, read_questions
from benchmarks.cascade.stand_in import LARGE, SMALL, stand_in
from benchmarks.errors import BadTarget, BenchmarkError

_NUM_SHOWN = 9


def main() -> None:
    """Run, print the curve, write the folder."""
    arguments = _arguments()
    try:
        questions = (
            generated(arguments.num) if arguments.questions is None else read_questions(arguments.questions)
        )
        if arguments.stand_in or arguments.stand_in_group is not None:
            arguments.small, arguments.large, arguments.stand_in = SMALL, LARGE, True
            records = _measure_stand_in(arguments, questions)
        else:
            records = _measure(arguments.url, arguments, questions)
    except (BenchmarkError, OSError, httpx.HTTPError) as exc:
        print(f"benchmarks: {exc}", file=sys.stderr)
        sys.exit(2)
    summary = summarise(records)
    settings = {
        key: getattr(arguments, key) for key in ("small", "large", "group", "small_price", "large_price")
    }
    settings |= {"questions": str(arguments.questions or "generated"), "is_stand_in": arguments.stand_in}
    settings |= {"group_min_mean_logprob": arguments.stand_in_group}
    folder = results_folder.write(arguments.out, "cascade", settings, summary, records)
    _print(summary)
    print(f"raw records: {folder}")


def _measure_stand_in(arguments: argparse.Namespace, questions: list[Question]) -> list[dict[str, Any]]:
    with stand_in(questions) as url:
        if arguments.stand_in_group is None:
            return _measure(url, arguments, questions)
        arguments.group = GROUP
        with behind_a_group(url, arguments.stand_in_group) as application:
            return _measure(application, arguments, questions)


def summarise(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The curve and its ends, the best point with its interval, and the group if it was asked."""
    answers = [
        Answered(
            one["is_small_right"],
            one["is_large_right"],
            one["small_cost"],
            one["large_cost"],
            one["mean_logprob"],
        )
        for one in records
    ]
    best, gain = best_gain(answers)
    summary: dict[str, Any] = {
        "num_questions": len(answers),
        "small_only": asdict(small_only(answers)),
        "large_only": asdict(large_only(answers)),
        "curve": [_shown(answers, point) for point in curve(answers)],
        "best": _shown(answers, best) | {"gain_over_coin": gain},
    }
    assert best.threshold is not None
    # Chosen on the same questions, so its lower end is what to believe.
    summary["best"]["gain_95"] = list(gain_interval(answers, best.threshold))
    grouped = [one["group"] for one in records if one.get("group")]
    if grouped:
        summary["group"] = {
            "quality": sum(one["is_right"] for one in grouped) / len(grouped),
            "large_share": sum(one["is_large"] for one in grouped) / len(grouped),
        }
    return summary


def _shown(answers: Sequence[Answered], point: Point) -> dict[str, Any]:
    return asdict(point) | {"coin_quality": coin(answers, point.cost)}


def _measure(url: str, arguments: argparse.Namespace, questions: Sequence[Question]) -> list[dict[str, Any]]:
    with httpx.Client(base_url=url, timeout=300.0, trust_env=False) as client:
        return [_record(client, arguments, question) for question in questions]


def _record(client: httpx.Client, arguments: argparse.Namespace, question: Question) -> dict[str, Any]:
    small = _ask(client, arguments.small, question, logprobs=True).json()
    large = _ask(client, arguments.large, question).json()
    told = (small["choices"][0].get("logprobs") or {}).get("content") or []
    logprobs = [token["logprob"] for token in told]
    record: dict[str, Any] = {
        "question": question.text,
        "answers": question.answers,
        "small": _text(small),
        "large": _text(large),
        "is_small_right": question.is_right(_text(small)),
        "is_large_right": question.is_right(_text(large)),
        "small_cost": _num_tokens(small) * arguments.small_price / 1e6,
        "large_cost": _num_tokens(large) * arguments.large_price / 1e6,
        "mean_logprob": math.fsum(logprobs) / len(logprobs) if logprobs else None,
    }
    if arguments.group is not None:
        answer = _ask(client, arguments.group, question)
        record["group"] = {
            "is_right": question.is_right(_text(answer.json())),
            "is_large": answer.headers.get("x-manta-model") == arguments.large,
            "route": answer.headers.get("x-manta-route"),
        }
    return record


def _ask(client: httpx.Client, model: str, question: Question, *, logprobs: bool = False) -> httpx.Response:
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": question.text}],
        "temperature": 0,
        "max_tokens": 256,
    }
    answer = client.post("/v1/chat/completions", json=body | ({"logprobs": True} if logprobs else {}))
    if answer.status_code != 200:
        raise BadTarget(f"{model}: {answer.status_code}: {answer.text[:200]}")
    return answer


def _text(document: Mapping[str, Any]) -> str:
    text: str | None = document["choices"][0]["message"]["content"]
    return text or ""


def _num_tokens(document: Mapping[str, Any]) -> int:
    usage = document["usage"]
    return int(usage["prompt_tokens"]) + int(usage["completion_tokens"])


def _print(summary: Mapping[str, Any]) -> None:
    table = Table(title=f"{summary['num_questions']} questions")
    for column in ("policy", "dollars per 1000", "right", "by coin, same cost", "to the large"):
        table.add_column(column, justify="left" if column == "policy" else "right")
    points = summary["curve"]
    step = max(1, len(points) // _NUM_SHOWN)
    _row(table, "small only", summary["small_only"])
    for point in points[::step]:
        _row(table, f"logprob >= {point['threshold']:.3f}", point)
    _row(table, "large only", summary["large_only"])
    Console().print(table)
    best = summary["best"]
    low, high = best["gain_95"]
    print(
        f"best against the coin: threshold {best['threshold']:.3f}, {best['gain_over_coin']:+.1%} right "
        f"at the same cost (95 %: {low:+.1%} to {high:+.1%}; chosen on the same questions)"
    )
    if "group" in summary:
        print(
            f"the group itself: {summary['group']['quality']:.1%} right, {summary['group']['large_share']:.1%} large"
        )


def _row(table: Table, name: str, point: Mapping[str, Any]) -> None:
    by_coin = f"{point['coin_quality']:.1%}" if "coin_quality" in point else ""
    cost = f"{1000 * point['cost']:.4f}"
    table.add_row(name, cost, f"{point['quality']:.1%}", by_coin, f"{point['large_share']:.0%}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="a running application")
    parser.add_argument("--small", default="small", help="the small model")
    parser.add_argument("--large", default="large", help="the large model")
    parser.add_argument("--group", default=None, help="a cascade of the two, to be asked as well")
    parser.add_argument("--small-price", type=float, default=0.1, help="dollars per million tokens")
    parser.add_argument("--large-price", type=float, default=1.0, help="dollars per million tokens")
    parser.add_argument(
        "--questions", type=Path, default=None, help="JSON lines; default: arithmetic is made"
    )
    parser.add_argument("--num", type=int, default=200, help="questions that are made")
    parser.add_argument("--stand-in", action="store_true", help="two made-up models answer")
    parser.add_argument(
        "--stand-in-group",
        type=float,
        metavar="LOGPROB",
        default=None,
        help="before them an application is started whose group sends the small one's answers from this mean "
        "log-probability on, such as -0.35",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results"), help="where the run's folder goes"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
