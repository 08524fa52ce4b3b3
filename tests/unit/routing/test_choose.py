"""Whom a group asks: properties of the pure choice."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.routing.base import Choice, Member, Why
from serve_app.routing.choose import Rule, order

RULES: tuple[Rule, ...] = ("weighted", "least_loaded", "fastest")

members_of = st.lists(
    st.builds(
        Member,
        model=st.sampled_from("abcdefgh"),
        weight=st.floats(0.1, 10),
        canary=st.none() | st.floats(0, 0.1),
        num_running=st.integers(0, 50),
        latency_s=st.none() | st.floats(0.001, 10),
        is_cooling=st.booleans(),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda member: member.model,
).map(lambda members: [replace(members[0], canary=None), *members[1:]])


def firsts(members: list[Member], rule: Rule, num: int = 4000, **more: object) -> Counter[str]:
    rng = random.Random(1)
    return Counter(order(members, rule, rng, **more)[0].model for _ in range(num))  # type: ignore[arg-type]


@given(members_of, st.sampled_from(RULES), st.integers(), st.none() | st.text(max_size=5))
def test_each_is_asked_once_and_fallbacks_come_last(
    members: list[Member], rule: Rule, seed: int, key: str | None
) -> None:
    found = order(members, rule, random.Random(seed), key=key, fallbacks=["a", "z", "y"])
    models = [choice.model for choice in found]
    assert len(set(models)) == len(models)
    stable = {member.model for member in members if member.canary is None}
    assert stable <= set(models)
    assert [model for model in models if model in "zy"] == ["z", "y"]
    assert set(models[-2:]) <= {"z", "y", "a"}


@given(members_of, st.sampled_from(RULES), st.integers(), st.none() | st.text(max_size=5))
def test_whoever_cools_down_is_asked_after_those_who_do_not(
    members: list[Member], rule: Rule, seed: int, key: str | None
) -> None:
    cooling = {member.model: member.is_cooling for member in members if member.canary is None}
    found = order(members, rule, random.Random(seed), key=key)
    states = [cooling[choice.model] for choice in found if choice.why is not Why.CANARY]
    assert states == sorted(states)
    assert not any(
        member.is_cooling
        for member in members
        for choice in found
        if choice == Choice(member.model, Why.CANARY)
    )


@given(members_of, st.sampled_from(RULES), st.integers())
def test_the_same_state_and_numbers_give_the_same_order(members: list[Member], rule: Rule, seed: int) -> None:
    assert order(members, rule, random.Random(seed)) == order(members, rule, random.Random(seed))


def test_weights_are_shares() -> None:
    found = firsts([Member("a", 9), Member("b", 1)], "weighted")
    assert 0.88 < found["a"] / found.total() < 0.92


def test_a_canary_has_exactly_its_share_and_nobody_falls_back_on_it() -> None:
    members = [Member("old"), Member("new", canary=0.05)]
    found = firsts(members, "least_loaded")
    assert 0.04 < found["new"] / found.total() < 0.06
    behind = [order(members, "weighted", random.Random(seed)) for seed in range(200)]
    assert all(choices[-1].model == "old" for choices in behind)
    assert firsts([Member("old"), Member("new", canary=0.5, is_cooling=True)], "weighted")["new"] == 0


def test_where_only_canaries_are_left_they_answer() -> None:
    members = [Member("a", canary=0.01), Member("b", canary=0.01)]
    for key in (None, "k"):
        choices = order(members, "weighted", random.Random(0), key=key)
        assert sorted(choice.model for choice in choices) == ["a", "b"]


def test_a_session_stays_with_its_canary() -> None:
    members = [Member("old"), Member("new", canary=0.3)]
    rng = random.Random(3)
    for session in "abcdefgh":
        assert len({order(members, "weighted", rng, key=session)[0].model for _ in range(20)}) == 1


def test_the_least_loaded_for_its_weight_is_asked() -> None:
    members = [Member("a", weight=4, num_running=6), Member("b", num_running=1), Member("c", num_running=3)]
    assert [one.model for one in order(members, "least_loaded", random.Random(0))] == ["a", "b", "c"]


def test_the_fastest_is_asked_until_it_has_more_to_do() -> None:
    members = [Member("fast", latency_s=0.1), Member("slow", latency_s=0.5)]
    assert firsts(members, "fastest") == {"fast": 4000}
    busy = [Member("fast", latency_s=0.1, num_running=9), Member("slow", latency_s=0.5)]
    assert firsts(busy, "fastest") == {"slow": 4000}


def test_of_whom_nothing_is_known_is_tried_and_not_by_everybody() -> None:
    known = Member("known", latency_s=0.1, num_running=2)
    assert firsts([known, Member("new")], "fastest") == {"new": 4000}
    assert firsts([known, Member("new", num_running=3)], "fastest") == {"known": 4000}


@given(
    st.sets(st.sampled_from("abcdefgh"), min_size=2), st.lists(st.text(max_size=8), min_size=1, max_size=50)
)
def test_when_a_member_goes_only_its_own_keys_move(names: set[str], keys: list[str]) -> None:
    members = [Member(name) for name in sorted(names)]
    rng = random.Random(0)
    gone, rest = members[0], members[1:]
    for key in keys:
        before = order(members, "weighted", rng, key=key)[0].model
        after = order(rest, "weighted", rng, key=key)[0].model
        assert before in {after, gone.model}


def test_keys_are_spread_by_weight() -> None:
    members = [Member("a", 3), Member("b", 1)]
    found = Counter(
        order(members, "weighted", random.Random(0), key=str(key))[0].model for key in range(4000)
    )
    assert 0.72 < found["a"] / 4000 < 0.78


def test_affinity_ends_where_its_member_is_fuller_than_the_others() -> None:
    members = [Member(name) for name in "abc"]
    home = order(members, "weighted", random.Random(0), key="k")[0].model
    full = [replace(member, num_running=10 if member.model == home else 0) for member in members]
    first = order(full, "weighted", random.Random(0), key="k")[0]
    assert first.model != home
    assert first.why is Why.SPILLED
    level = [replace(member, num_running=10) for member in members]
    assert order(level, "weighted", random.Random(0), key="k")[0] == Choice(home, Why.AFFINITY)


@pytest.mark.parametrize("rule", RULES)
def test_one_member_needs_no_choice(rule: Rule) -> None:
    assert order([Member("a")], rule, random.Random(0)) == [Choice("a", Why.ONLY)]
