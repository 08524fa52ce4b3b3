from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.schedule import arrivals, plan
from benchmarks.schedule.sessions import Draft
from configs.workload import Workload

POISSON = {"process": "poisson", "rate_rps": 100}


def planned(**document: Any) -> list[Draft]:
    return list(plan.plan(Workload.model_validate({"duration_s": 50, "arrivals": POISSON} | document)).drafts)


def sessions_of(drafts: list[Draft]) -> dict[int, list[Draft]]:
    found: dict[int, list[Draft]] = {}
    for draft in drafts:
        found.setdefault(draft.request.session, []).append(draft)
    return found


def test_the_mix_has_its_weights() -> None:
    drafts = planned(
        requests=[
            {"kind": "chat", "weight": 6},
            {"kind": "completions", "weight": 3},
            {"kind": "embeddings", "weight": 1},
        ]
    )
    counts = Counter(draft.request.entry for draft in drafts)
    for entry, share in enumerate((0.6, 0.3, 0.1)):
        expected = len(drafts) * share
        assert abs(counts[entry] - expected) < 4 * math.sqrt(expected * (1 - share))


def test_an_entry_that_nobody_is_drawn_for_does_no_harm() -> None:
    rare = {"kind": "chat", "weight": 1e-9, "shared_prefix_tokens": 10, "num_shared_prefixes": 3}
    drafts = planned(requests=[{"kind": "completions"}, rare])
    assert {draft.request.entry for draft in drafts} == {0}


def test_first_turns_come_in_order_and_later_turns_after_them() -> None:
    turns = {"distribution": "uniform", "low": 1, "high": 4}
    drafts = planned(
        requests=[{"kind": "chat", "turns": turns, "think_time_s": 2.5}, {"kind": "completions"}]
    )
    requests = [draft.request for draft in drafts]
    assert [request.index for request in requests] == list(range(len(requests)))
    first = [request for request in requests if request.turn == 0]
    assert requests[: len(first)] == first
    moments = [request.at_s for request in first]
    assert moments == sorted(moments, key=lambda at_s: at_s if at_s is not None else math.nan)
    assert all(request.session == request.index and request.think_s == 0 for request in first)
    assert all(request.at_s is None and request.think_s == 2.5 for request in requests[len(first) :])
    for session in sessions_of(drafts).values():
        assert [draft.request.turn for draft in session] == list(range(session[0].request.num_turns))
        assert len({draft.request.entry for draft in session}) == 1
    assert Counter(request.num_turns for request in first if request.entry == 0).keys() == {1, 2, 3, 4}


def test_a_later_turn_counts_the_conversation_before_it() -> None:
    drafts = planned(
        requests=[
            {
                "kind": "chat",
                "turns": 3,
                "prompt_tokens": {"distribution": "uniform", "low": 5, "high": 50},
                "output_tokens": {"distribution": "uniform", "low": 5, "high": 50},
                "shared_prefix_tokens": 100,
            }
        ]
    )
    for session in sessions_of(drafts).values():
        (num_output,) = {draft.request.num_output_tokens for draft in session}
        so_far = 0
        for draft in session:
            assert num_output is not None
            so_far += sum(num_tokens for _, num_tokens in draft.prompts[0].parts)
            assert draft.request.num_prompt_tokens == so_far
            so_far += num_output
        assert [len(draft.prompts[0].parts) for draft in session] == [2, 1, 1]  # the prefix is said once


def test_what_no_session_shares_has_keys_of_its_own() -> None:
    drafts = planned(
        requests=[
            {"kind": "chat", "turns": 2},
            {"kind": "completions"},
            {"kind": "embeddings", "num_inputs": 3},
        ]
    )
    keys = [key for draft in drafts for prompt in draft.prompts for key, _ in prompt.parts]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(("num_prefixes", "rate_rps"), [(1, 10), (7, 10), (1000, 1)])
def test_shared_prefixes_are_used_equally_often(num_prefixes: int, rate_rps: float) -> None:
    drafts = planned(
        arrivals={"process": "constant", "rate_rps": rate_rps},
        requests=[
            {"kind": "completions", "shared_prefix_tokens": 64, "num_shared_prefixes": num_prefixes},
        ],
    )
    used = [draft.prompts[0].parts[0] for draft in drafts]
    counts = Counter(used)
    assert {num_tokens for _, num_tokens in used} == {64}
    assert len(counts) == min(num_prefixes, len(drafts))
    assert max(counts.values()) - min(counts.values()) <= 1
    if num_prefixes == 7:
        assert used[:7] != used[7:14]  # no rotation


def test_the_share_that_leaves_early_does() -> None:
    drafts = planned(requests=[{"kind": "chat", "turns": 2, "abandon": {"fraction": 0.2, "after_s": 1.5}}])
    for turn in (0, 1):
        after_s = [draft.request.abandon_after_s for draft in drafts if draft.request.turn == turn]
        expected = 0.2 * len(after_s)
        assert abs(after_s.count(1.5) - expected) < 4 * math.sqrt(expected * 0.8)
        assert after_s.count(None) == len(after_s) - after_s.count(1.5)


CHAT: dict[str, Any] = {"kind": "chat", "prompt_tokens": {"distribution": "uniform", "low": 5, "high": 50}}


@pytest.mark.parametrize(
    ("change", "what_changes"),
    [
        ({"output_tokens": {"distribution": "uniform", "low": 5, "high": 50}}, {"num_output_tokens"}),
        ({"abandon": {"fraction": 0.5, "after_s": 1}}, {"abandon_after_s"}),
        ({"prompt_tokens": 7}, {"num_prompt_tokens"}),
        ({"turns": {"distribution": "uniform", "low": 1, "high": 2}}, {"num_turns"}),
        (
            {"shared_prefix_tokens": 10, "num_shared_prefixes": 5},
            {"num_prompt_tokens"},
        ),
    ],
)
def test_changing_one_aspect_changes_only_that(change: dict[str, Any], what_changes: set[str]) -> None:
    before = planned(requests=[CHAT])
    after = [draft for draft in planned(requests=[CHAT | change]) if draft.request.turn == 0]
    assert len(after) == len(before)
    changed = {
        field
        for old, new in zip(before, after, strict=True)
        for field in old.request.__struct_fields__
        if getattr(old.request, field) != getattr(new.request, field)
    }
    assert changed == what_changes
    if "num_prompt_tokens" not in what_changes:
        assert [draft.prompts for draft in after] == [draft.prompts for draft in before]


def test_another_entry_leaves_the_sessions_of_the_first_as_they_were() -> None:
    alone = planned(requests=[CHAT])
    mixed = [draft for draft in planned(requests=[CHAT, {"kind": "embeddings"}]) if draft.request.entry == 0]
    assert 0 < len(mixed) < len(alone)
    assert [draft.prompts for draft in mixed] == [draft.prompts for draft in alone[: len(mixed)]]


def test_another_seed_changes_everything() -> None:
    first, second = (planned(requests=[CHAT], seed=seed)[:50] for seed in (1, 2))
    assert [draft.request.at_s for draft in first] != [draft.request.at_s for draft in second]
    lengths = [[draft.request.num_prompt_tokens for draft in drafts] for drafts in (first, second)]
    assert lengths[0] != lengths[1]


def test_a_closed_loop_has_sessions_without_arrivals() -> None:
    made = plan.plan(Workload.model_validate({"arrivals": {"process": "closed", "concurrency": 8}}))
    drafts = list(made.drafts)
    assert made.duration_s == 60.0
    assert len(drafts) == made.num_requests == plan.CLOSED_LOOP_SESSIONS
    assert all(draft.request.at_s is None for draft in drafts)


@pytest.mark.parametrize(("concurrency", "num"), [(10, 2000), (3000, 3000), (20_000, 20_000)])
def test_a_closed_loop_of_long_prompts_has_fewer_but_one_for_each_place(concurrency: int, num: int) -> None:
    document = {
        "arrivals": {"process": "closed", "concurrency": concurrency},
        "requests": [{"kind": "completions", "prompt_tokens": plan.CLOSED_LOOP_TOKENS // 2000}],
    }
    assert plan.plan(Workload.model_validate(document)).num_requests == num


def test_a_closed_loop_can_have_a_number_of_sessions() -> None:
    closed = {"process": "closed", "concurrency": 4, "max_sessions": 6}
    made = plan.plan(Workload.model_validate({"arrivals": closed}))
    assert len(list(made.drafts)) == made.num_requests == 6


def test_turns_count_against_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "MAX_REQUESTS", 1000)
    monkeypatch.setattr(arrivals, "MAX_REQUESTS", 10_000)
    with pytest.raises(BenchmarkError, match="turns; at most 1,000 can be drawn"):
        planned(requests=[{"kind": "chat", "turns": 2}])


def test_a_length_that_cannot_be_drawn_names_its_setting() -> None:
    turns = {"distribution": "normal", "mean": 2, "std": 1e9, "low": 1, "high": 3}
    with pytest.raises(BenchmarkError, match=r"^talk: turns: fewer than 1"):
        planned(requests=[{"kind": "chat", "name": "talk", "turns": turns}])


def test_a_seed_means_the_same_requests_in_every_release() -> None:
    """When this fails, runs of the same workload are no longer the same load as before: say so in CHANGELOG.md."""
    drafts = planned(
        seed=7,
        duration_s=10,
        arrivals={"process": "gamma", "rate_rps": 5, "burstiness": 0.5},
        requests=[
            {
                "kind": "chat",
                "prompt_tokens": {"distribution": "lognormal", "median": 200, "sigma": 1},
                "output_tokens": {"distribution": "normal", "mean": 50, "std": 20},
            },
            {"kind": "embeddings"},
        ],
    )
    first = [draft.request for draft in drafts[:4]]
    # The last digits of logarithms depend on the C library.
    assert [request.at_s for request in first] == pytest.approx(
        [0.0097737972, 0.0120629450, 0.0483165449, 0.1835040531]
    )
    assert [(request.entry, request.num_prompt_tokens, request.num_output_tokens) for request in first] == [
        (0, 106, 31),
        (1, 128, None),
        (0, 753, 43),
        (0, 41, 53),
    ]
