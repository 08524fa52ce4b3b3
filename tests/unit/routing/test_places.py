"""Where prompts go that begin like earlier ones."""

from __future__ import annotations

import random
from collections import Counter

from serve_app.routing.places import MAX_KEYS, MAX_PLACES, Places

IDLE = {"a": 0, "b": 0, "c": 0}


def test_callers_who_do_not_know_of_each_other_agree() -> None:
    keys = [f"key {number}" for number in range(300)]
    homes = [Places().best(key, IDLE) for key in keys]
    assert [Places().best(key, dict(reversed(IDLE.items()))) for key in keys] == homes
    assert min(Counter(homes)[name] for name in IDLE) > 60  # of a hundred each, in the mean


def test_a_replica_that_comes_takes_keys_from_the_others_alone() -> None:
    keys = [f"key {number}" for number in range(300)]
    before = {key: Places().best(key, {"a": 0, "b": 0}) for key in keys}
    after = {key: Places().best(key, IDLE) for key in keys}
    assert {after[key] for key in keys if after[key] != before[key]} == {"c"}


def test_what_was_sent_somewhere_goes_back_there() -> None:
    places = Places()
    home = places.best("key", IDLE)
    other = next(name for name in IDLE if name != home)
    places.sent("key", other)
    assert places.best("key", IDLE) == other
    # It has most of the work, and no more than a quarter above its share.
    assert places.best("key", {home: 2, other: 4, next(iter(IDLE.keys() - {home, other})): 3}) == other


def test_a_replica_that_has_too_much_to_do_is_passed_over_for_the_idlest() -> None:
    places = Places()
    places.sent("key", "a")
    assert places.best("key", {"a": 9, "b": 1, "c": 0}) == "c"
    places.sent("key", "c")
    assert places.best("key", {"a": 9, "b": 0, "c": 1}) == "c"  # which has it now, too
    assert places.best("key", {"a": 0, "b": 0, "c": 1}) == "c"  # the latest
    assert places.best("key", {"a": 1, "b": 0, "c": 2}) == "a"  # the one before it


def test_a_new_prompt_goes_by_the_hash_only_where_that_has_no_more_than_its_share() -> None:
    home = Places().best("key", {"a": 0, "b": 0})
    other = "b" if home == "a" else "a"
    assert Places().best("key", {home: 2, other: 2}) == home
    assert Places().best("key", {home: 3, other: 2}) == other


def test_a_replica_that_is_gone_is_forgotten() -> None:
    places = Places()
    places.sent("key", "gone")
    assert places.best("key", {"a": 0, "b": 0}) in "ab"
    assert places.best("key", {"a": 7}) == "a"


def test_what_is_remembered_is_bounded() -> None:
    places = Places()
    for number in range(MAX_KEYS + 10):
        places.sent(f"key {number}", "a")
    for number in range(10):
        places.sent("key", f"replica {number}")
    assert len(places._known) == MAX_KEYS
    assert places._known["key"] == tuple(f"replica {number}" for number in range(10 - MAX_PLACES, 10))


def test_conversations_stay_and_the_load_stays_even() -> None:
    rng = random.Random(1)
    places, loads = Places(), {"a": 0, "b": 0, "c": 0, "d": 0}
    running: list[str] = []
    latest: dict[str, str] = {}
    num_moves = num_turns = most = 0
    for _ in range(4000):
        if len(running) == 16:
            loads[running.pop(rng.randrange(16))] -= 1
        key = f"user {rng.randrange(60)}"
        chosen = places.best(key, loads)
        num_moves += latest.get(key, chosen) != chosen
        num_turns += key in latest
        latest[key] = chosen
        places.sent(key, chosen)
        loads[chosen] += 1
        running.append(chosen)
        most = max(most, *loads.values())
    assert num_moves < 0.3 * num_turns
    assert most <= 6  # a quarter more than a fair share of seventeen, and rounded up
