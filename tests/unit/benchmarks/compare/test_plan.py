from __future__ import annotations

from itertools import islice

from benchmarks.compare.plan import plan_pairs, workload_of
from configs.workload import Workload


def test_each_block_of_two_has_both_orders() -> None:
    for seed in range(20):
        pairs = list(islice(plan_pairs(seed), 1, 13))
        for first, second in zip(pairs[0::2], pairs[1::2], strict=True):
            assert first.order == second.order[::-1]


def test_which_order_comes_first_is_chance() -> None:
    first = [next(islice(plan_pairs(seed), 1, 2)).order for seed in range(200)]
    assert 60 < first.count(("a", "b")) < 140
    within = [pair.order for pair in islice(plan_pairs(1), 1, 401, 2)]
    assert 60 < within.count(("a", "b")) < 140


def test_the_plan_is_drawn_from_the_seed() -> None:
    assert list(islice(plan_pairs(5), 20)) == list(islice(plan_pairs(5), 20))
    assert list(islice(plan_pairs(5), 20)) != list(islice(plan_pairs(6), 20))


def test_pairs_have_schedules_of_their_own() -> None:
    seeds = [pair.seed for pair in islice(plan_pairs(1), 50)]
    assert len(set(seeds)) == 50


def test_both_runs_of_a_pair_leave_out_the_same_seconds() -> None:
    pair = next(plan_pairs(1))
    assert workload_of(pair, Workload(), 20.0).warm_up_s == 2.0
    kept = workload_of(pair, Workload(warm_up_s=5.0), 20.0)
    assert (kept.warm_up_s, kept.duration_s, kept.seed) == (5.0, 20.0, pair.seed)
