from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.policies import Observation, Settings, State, Work, decide

TARGET = 8.0
SETTINGS = Settings(
    target_ongoing_requests=TARGET,
    upscale_delay_s=0.0,
    downscale_delay_s=120.0,
    downscale_to_zero_delay_s=300.0,
    max_queue_age_s=5.0,
    report_delay_s=2.0,
)
IDLE = Work(0.0, 0.0, 0.0, 0.0)


def busy(
    num_running: float, num_queued: float = 0.0, num_queued_tokens: float = 0.0, age_s: float = 0.0
) -> Work:
    return Work(num_running, num_queued, num_queued_tokens, age_s)


class Deployment:
    """Replicas that follow the decisions after `start_s`, and stop at once."""

    def __init__(
        self,
        settings: Settings = SETTINGS,
        *,
        bounds: tuple[int, int] = (1, 20),
        first: int = 1,
        start_s: float = 0,
    ) -> None:
        self.settings = settings
        self.bounds = bounds
        self.start_s = start_s
        self.at_s = 1_000.0
        self.target = first
        self.ready_s = [self.at_s] * first
        self.state: State | None = None
        self.history = [(self.at_s, first)]

    def see(self, work: Work | None, *, num_ongoing: float | None = None) -> int:
        """One decision."""
        if num_ongoing is None:
            num_ongoing = work.num_running + work.num_queued if work else 0.0
        seen = Observation(
            at_s=self.at_s,
            num_target=self.target,
            num_running=sum(at_s <= self.at_s for at_s in self.ready_s),
            min_replicas=self.bounds[0],
            max_replicas=self.bounds[1],
            num_ongoing=num_ongoing,
            work=work,
        )
        decided, self.state = decide(seen, self.settings, self.state)
        if decided != self.target:
            self.history.append((self.at_s, decided))
            self.ready_s = self.ready_s[:decided]
            self.ready_s += [self.at_s + self.start_s] * (decided - len(self.ready_s))
            self.target = decided
        return decided

    def go_on(self, seconds: float, work: Callable[[float], Work] | Work, step_s: float = 0.5) -> int:
        """Decisions for a while; the last one."""
        began_s = self.at_s
        while self.at_s < began_s + seconds:
            self.at_s += step_s
            self.see(work if isinstance(work, Work) else work(self.at_s - began_s))
        return self.target

    def num_turns(self) -> int:
        """How often the number went another way than before."""
        return num_turns([num for _, num in self.history])


def num_turns(nums: Sequence[int]) -> int:
    ways = [after > before for before, after in itertools.pairwise(nums) if after != before]
    return sum(before != after for before, after in itertools.pairwise(ways))


# ---------------------------------------------------------------- up


@pytest.mark.parametrize(
    ("work", "num_ongoing", "wanted"),
    [
        (busy(8), 8.0, 1),
        (busy(9), 8.0, 2),
        (busy(8, num_queued=9), 8.0, 3),
        (busy(8, num_queued=9), 33.0, 5),
        (None, 17.0, 3),
        (IDLE, 0.0, 1),
    ],
)
def test_running_and_waiting_requests_are_shared_out_at_once(
    work: Work | None, num_ongoing: float, wanted: int
) -> None:
    """What replicas say now or what callers saw in the mean, whichever is more."""
    assert Deployment().see(work, num_ongoing=num_ongoing) == wanted


def test_waiting_tokens_count_when_they_are_asked_for() -> None:
    work = busy(8, num_queued=1, num_queued_tokens=25_000)
    assert Deployment().see(work) == 2
    assert Deployment(replace(SETTINGS, queued_tokens_per_replica=10_000)).see(work) == 4


def test_a_delay_waits_for_a_load_that_stays() -> None:
    deployment = Deployment(replace(SETTINGS, upscale_delay_s=10.0))
    deployment.see(busy(4))
    assert deployment.go_on(8.0, busy(40)) == 1
    assert deployment.go_on(1.0, busy(4)) == 1
    assert deployment.go_on(9.0, busy(40)) == 1
    assert deployment.go_on(2.0, lambda _: busy(30)) == 4  # the least of what was wanted


# ---------------------------------------------------------------- age


def test_requests_that_wait_too_long_bring_more_replicas_although_there_are_few() -> None:
    deployment = Deployment(first=2)
    deployment.go_on(20.0, busy(4))
    assert deployment.go_on(1.0, busy(4, num_queued=1, age_s=4.9)) == 2
    assert deployment.go_on(1.0, busy(4, num_queued=1, age_s=6.0)) == 3


def test_a_great_age_brings_twice_as_many_at_most() -> None:
    deployment = Deployment(first=4)
    deployment.go_on(20.0, busy(25))
    assert deployment.go_on(1.0, busy(25, num_queued=2, age_s=500.0)) == 8


def test_more_are_not_asked_for_before_the_last_ones_could_help() -> None:
    deployment = Deployment(first=1, start_s=30.0)
    deployment.go_on(20.0, busy(4))
    old = busy(4, num_queued=1, age_s=60.0)
    deployment.go_on(1.0, old)
    assert deployment.target == 2
    # 30 s until it runs, then 5 s and the delay of the reports.
    assert deployment.go_on(35.5, old) == 2
    assert deployment.go_on(3.0, old) == 4


def test_those_that_start_because_of_it_are_not_stopped_again_while_requests_still_wait() -> None:
    """A replica may take longer to start than the delay after which others go."""
    deployment = Deployment(replace(SETTINGS, downscale_delay_s=10.0), start_s=60.0)
    deployment.go_on(20.0, busy(4))
    deployment.go_on(1.0, busy(4, num_queued=1, age_s=6.0))
    assert deployment.go_on(59.0, busy(4, num_queued=1, age_s=30.0)) == 2
    assert deployment.go_on(20.0, busy(4)) == 1


@pytest.mark.parametrize("max_queue_age_s", [5.0, None])
def test_replicas_that_turn_requests_away_are_too_few_although_nothing_waits_long(
    max_queue_age_s: float | None,
) -> None:
    """Who is refused is not counted, and the youngest goes first, so nobody grows old."""
    deployment = Deployment(replace(SETTINGS, max_queue_age_s=max_queue_age_s), first=3)
    deployment.go_on(20.0, busy(6))
    refusing = replace(busy(6, num_queued=3, age_s=0.5), is_overload=True)
    assert deployment.go_on(1.0, refusing) == 6
    assert deployment.go_on(200.0, refusing) == 20
    assert deployment.go_on(119.0, busy(6)) == 20


def test_age_is_no_matter_without_a_limit() -> None:
    deployment = Deployment(replace(SETTINGS, max_queue_age_s=None))
    assert deployment.go_on(100.0, busy(4, num_queued=1, age_s=60.0)) == 1


# ---------------------------------------------------------------- down


def test_replicas_stay_for_the_highest_load_of_the_window() -> None:
    deployment = Deployment()
    deployment.go_on(10.0, busy(40))
    assert deployment.go_on(60.0, busy(15)) == 5
    assert deployment.go_on(1.0, busy(23)) == 5
    assert deployment.go_on(58.0, busy(2)) == 5
    assert deployment.go_on(10.0, busy(2)) == 4  # for 23 of the window, a tenth below the target
    assert deployment.go_on(60.0, busy(2)) == 1


def test_a_load_that_wavers_around_a_whole_number_moves_nothing() -> None:
    deployment = Deployment(replace(SETTINGS, downscale_delay_s=0.0))
    deployment.go_on(600.0, lambda at_s: busy(15.8 if int(at_s) % 2 else 16.2))
    assert [num for _, num in deployment.history] == [1, 3]


@pytest.mark.parametrize("start_s", [0.0, 40.0])
def test_bursts_do_not_make_it_flap(start_s: float) -> None:
    """An hour of a burst of ten seconds each minute."""
    deployment = Deployment(start_s=start_s)
    deployment.go_on(3600.0, lambda at_s: busy(60) if at_s % 60 < 10 else busy(5))
    assert deployment.num_turns() == 0
    assert len(deployment.history) <= 3


def test_bursts_farther_apart_than_the_delay_turn_it_once_each_way() -> None:
    deployment = Deployment()
    deployment.go_on(3600.0, lambda at_s: busy(60) if at_s % 600 < 10 else busy(5))
    assert deployment.num_turns() <= 2 * 3600 / 600


LOADS = st.lists(
    st.tuples(st.floats(0.5, 90.0), st.floats(0.0, 200.0), st.floats(0.0, 40.0)), min_size=1, max_size=40
)


@given(loads=LOADS, upscale_delay_s=st.sampled_from([0.0, 10.0]), start_s=st.sampled_from([0.0, 45.0]))
def test_what_was_started_is_kept_for_the_delay_whatever_comes(
    loads: list[tuple[float, float, float]], upscale_delay_s: float, start_s: float
) -> None:
    settings = replace(SETTINGS, upscale_delay_s=upscale_delay_s)
    deployment = Deployment(settings, start_s=start_s)
    for seconds, num_running, age_s in loads:
        deployment.go_on(seconds, busy(num_running, age_s=age_s), step_s=2.0)
    started_s = -1e9
    for (_, before), (at_s, after) in itertools.pairwise(deployment.history):
        if after > before:
            started_s = at_s
        else:
            assert at_s - started_s >= SETTINGS.downscale_delay_s


@given(
    loads=LOADS,
    bounds=st.tuples(st.integers(0, 5), st.integers(1, 30)).filter(lambda pair: pair[0] <= pair[1]),
    first=st.integers(0, 40),
    num_ongoing=st.floats(0.0, 1e6),
)
def test_the_bounds_hold_whatever_comes(
    loads: list[tuple[float, float, float]], bounds: tuple[int, int], first: int, num_ongoing: float
) -> None:
    deployment = Deployment(
        replace(SETTINGS, queued_tokens_per_replica=100.0), bounds=bounds, first=first, start_s=5.0
    )
    for seconds, num_running, age_s in loads:
        deployment.at_s += seconds
        work = busy(num_running, num_running, num_running * 1e4, age_s)
        decided = deployment.see(work, num_ongoing=num_ongoing)
        assert bounds[0] <= decided <= bounds[1]


@given(loads=LOADS, first=st.integers(0, 10))
def test_whoever_has_work_has_a_replica(loads: list[tuple[float, float, float]], first: int) -> None:
    deployment = Deployment(bounds=(0, 10), first=first)
    for seconds, num_running, _ in loads:
        deployment.at_s += seconds
        assert deployment.see(busy(num_running)) >= (num_running > 0)


def test_bounds_that_change_are_followed_at_once() -> None:
    deployment = Deployment()
    deployment.go_on(10.0, busy(80))
    deployment.bounds = (1, 4)
    assert deployment.go_on(0.5, busy(80)) == 4
    deployment.bounds = (6, 8)
    assert deployment.go_on(0.5, busy(1)) == 6


# ---------------------------------------------------------------- zero


def test_the_last_replica_goes_after_its_own_delay_and_the_first_comes_at_once() -> None:
    deployment = Deployment(replace(SETTINGS, upscale_delay_s=20.0), bounds=(0, 4))
    deployment.go_on(10.0, busy(2))
    assert deployment.go_on(299.0, IDLE) == 1
    assert deployment.go_on(2.0, IDLE) == 0
    assert deployment.go_on(100.0, IDLE) == 0
    assert deployment.see(None, num_ongoing=1.0) == 1


def test_as_many_come_from_zero_as_wait() -> None:
    deployment = Deployment(bounds=(0, 4), first=0)
    assert deployment.see(None, num_ongoing=20.0) == 3


def test_a_short_delay_to_zero_lets_one_go_before_others_would() -> None:
    settings = replace(SETTINGS, downscale_delay_s=600.0, downscale_to_zero_delay_s=30.0)
    deployment = Deployment(settings, bounds=(0, 4))
    deployment.go_on(10.0, busy(2))
    assert deployment.go_on(31.0, IDLE) == 0


def test_work_in_between_starts_the_delay_to_zero_again() -> None:
    deployment = Deployment(bounds=(0, 4))
    deployment.go_on(290.0, IDLE)
    deployment.go_on(1.0, busy(1))
    assert deployment.go_on(299.0, IDLE) == 1


def test_a_replica_that_starts_is_not_stopped_because_its_caller_left() -> None:
    deployment = Deployment(bounds=(0, 4), first=0, start_s=400.0)
    deployment.go_on(500.0, IDLE)
    deployment.see(None, num_ongoing=1.0)
    assert deployment.go_on(699.0, IDLE) == 1
    assert deployment.go_on(2.0, IDLE) == 0


def test_a_first_decision_takes_nothing_away() -> None:
    """A controller that starts anew has heard of nobody yet."""
    assert Deployment(bounds=(0, 20), first=9).see(None) == 9
    assert Deployment(bounds=(0, 20), first=9).go_on(119.0, IDLE) == 9
