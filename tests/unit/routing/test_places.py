"""Where prompts go that begin like earlier ones."""

from __future__ import annotations

import random
from collections import Counter

from serve_app.routing.beginnings import Beginnings
from serve_app.routing.places import DOUBT_S, MAX_NAMES, MAX_PLACES, MAX_REQUESTS, Doubts, Places

IDLE = {"a": 0, "b": 0, "c": 0}


def prompt(*parts: object) -> Beginnings:
    """Of texts that begin with each other; the first is the conversation's own."""
    names = tuple("/".join(map(str, parts[: at + 1])).encode() for at in range(len(parts)))
    return Beginnings(names, names[0])


def test_callers_who_do_not_know_of_each_other_agree() -> None:
    prompts = [prompt(number, "question") for number in range(300)]
    homes = [Places().best(one, IDLE) for one in prompts]
    assert [Places().best(one, dict(reversed(IDLE.items()))) for one in prompts] == homes
    assert [Places().best(prompt(number, "later"), IDLE) for number in range(300)] == homes
    assert min(Counter(homes)[name] for name in IDLE) > 60  # of a hundred each, in the mean


def test_a_replica_that_comes_takes_prompts_from_the_others_alone() -> None:
    before = {number: Places().best(prompt(number), {"a": 0, "b": 0}) for number in range(300)}
    after = {number: Places().best(prompt(number), IDLE) for number in range(300)}
    assert {after[number] for number in after if after[number] != before[number]} == {"c"}


def test_what_was_sent_somewhere_goes_back_there() -> None:
    places = Places()
    home = places.best(prompt("doc"), IDLE)
    other, third = (name for name in IDLE if name != home)
    places.sent(prompt("doc", 1), other)
    assert places.best(prompt("doc", 2), IDLE) == other
    # It has most of the work, and no more than a quarter above its share.
    assert places.best(prompt("doc", 2), {home: 2, other: 4, third: 3}) == other


def test_the_longest_beginning_counts() -> None:
    places = Places()
    places.sent(prompt("system", "question"), "a")
    places.sent(prompt("system", "question", "answer", "another"), "b")
    places.sent(prompt("system", "something else"), "c")
    assert places.best(prompt("system", "question", "answer", "another", "answer", "third"), IDLE) == "b"
    assert (
        places.best(prompt("system", "question"), {"a": 1, "b": 0, "c": 0}) == "b"
    )  # the idler of two that have it
    assert places.best(prompt("system", "nothing known"), {"a": 1, "b": 1, "c": 0}) == "c"


def test_a_replica_that_has_too_much_to_do_is_passed_over() -> None:
    places = Places()
    places.sent(prompt("doc", 1), "b")
    places.sent(prompt("doc", 2), "a")
    assert places.best(prompt("doc", 2), {"a": 9, "b": 1, "c": 0}) == "b"  # which has a shorter beginning
    assert places.best(prompt("doc", 2), {"a": 9, "b": 8, "c": 0}) == "c"


def test_a_new_prompt_goes_by_the_hash_only_where_that_has_no_more_than_its_share() -> None:
    home = Places().best(prompt("doc"), {"a": 0, "b": 0})
    other = "b" if home == "a" else "a"
    assert Places().best(prompt("doc"), {home: 2, other: 2}) == home
    assert Places().best(prompt("doc"), {home: 3, other: 2}) == other


def test_a_replica_that_is_gone_is_forgotten() -> None:
    places = Places()
    places.sent(prompt("doc"), "gone")
    assert places.best(prompt("doc"), {"a": 0, "b": 0}) in "ab"
    assert places.best(prompt("doc"), {"a": 7}) == "a"


def test_what_is_remembered_is_bounded() -> None:
    places = Places()
    for number in range(MAX_NAMES // 2 + 10):
        places.sent(prompt(number, "question"), "a")
    for number in range(MAX_PLACES + 5):
        places.sent(prompt("doc"), f"replica {number}")
    assert len(places._known) == MAX_NAMES
    assert places._known[b"doc"] == tuple(f"replica {number}" for number in range(5, MAX_PLACES + 5))


def test_conversations_stay_and_the_load_stays_even() -> None:
    rng = random.Random(1)
    places, loads = Places(), {"a": 0, "b": 0, "c": 0, "d": 0}
    running: list[str] = []
    turns: Counter[int] = Counter()
    latest: dict[int, str] = {}
    num_moves = num_later = most = 0
    for _ in range(4000):
        if len(running) == 16:
            loads[running.pop(rng.randrange(16))] -= 1
        user = rng.randrange(60)
        conversation, turn = divmod(turns[user], 8)
        turns[user] += 1
        asked = prompt((user, conversation), *range(turn))
        chosen = places.best(asked, loads)
        num_moves += turn > 0 and latest[user] != chosen
        num_later += turn > 0
        latest[user] = chosen
        places.sent(asked, chosen)
        loads[chosen] += 1
        running.append(chosen)
        most = max(most, *loads.values())
    assert num_moves < 0.3 * num_later
    assert most <= 6  # a quarter more than a fair share of seventeen, and rounded up


def test_who_had_a_request_that_is_asked_again_is_in_doubt_for_a_while() -> None:
    now = 100.0
    doubts = Doubts(lambda: now)

    def left(request_id: str, *, is_again: bool = False) -> set[str]:
        return set(doubts.settled(request_id, IDLE, is_again=is_again))

    assert left("one", is_again=True) == set("abc")  # nobody is known to have had it
    doubts.sent("one", "a")
    assert left("one") == set("abc")  # an agent's next question, in the same request
    assert left("one", is_again=True) == set("bc")
    assert left("other") == set("bc")
    doubts.sent("one", "b")
    assert left("one", is_again=True) == {"c"}
    assert doubts.settled("other", {"a": 1, "b": 0}, is_again=False) == {"a": 1, "b": 0}  # there is no other
    now += DOUBT_S
    assert left("other") == set("abc")


def test_what_is_remembered_of_requests_is_bounded() -> None:
    doubts = Doubts(lambda: 0.0)
    for number in range(MAX_REQUESTS + 10):
        doubts.sent(f"{number}", "a")
    assert len(doubts._sent) == MAX_REQUESTS
    assert doubts.settled("0", IDLE, is_again=True) == IDLE
