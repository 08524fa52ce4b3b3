from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.llamacpp_chat.cases import Case, plan_cases
from benchmarks.llamacpp_chat.prompts import prompts_of


def test_every_number_of_callers_meets_every_length_and_the_shared_one_comes_last() -> None:
    cases = plan_cases((1, 16), (128, 1024), 128, requests_per_caller=3, min_requests=12, with_shared=True)
    assert [case.name for case in cases] == [
        "1x128/128",
        "16x128/128",
        "1x1024/128",
        "16x1024/128",
        "16x1024+128/128",
    ]
    assert [case.num_requests for case in cases] == [12, 48, 12, 48, 48]
    assert cases[-1].prompt_tokens == 1152


def test_a_context_has_room_for_prompt_and_answer_in_whole_steps() -> None:
    assert Case(1, 128, 128, 1).context_tokens == 512
    assert Case(1, 1024, 128, 1).context_tokens == 1280
    assert Case(1, 100, 128, 1).context_tokens == 256


def test_the_least_to_read_has_the_shared_part_once() -> None:
    assert Case(4, 128, 8, 10).least_read_tokens == 1280
    assert Case(4, 1152, 8, 10, shared_tokens=1024).least_read_tokens == 1024 + 10 * 128


@given(
    num_own=st.integers(2, 40), num_shared=st.integers(0, 40), num=st.integers(1, 30), seed=st.integers(0, 99)
)
def test_prompts_have_their_lengths_and_nothing_in_common_but_what_they_share(
    num_own: int, num_shared: int, num: int, seed: int
) -> None:
    case = Case(1, num_shared + num_own, 4, num, num_shared)
    prompts = [prompt.split(" ") for prompt in prompts_of(case, 700, seed)]
    assert len(prompts) == num
    assert {len(words) + 1 for words in prompts} == {case.prompt_tokens}  # and the token of the beginning
    num_words_shared = max(0, num_shared - 1)
    assert len({tuple(words[:num_words_shared]) for words in prompts}) == 1
    assert len({words[num_words_shared] for words in prompts}) == num  # they part at once
    assert prompts == [prompt.split(" ") for prompt in prompts_of(case, 700, seed)]


def test_another_seed_shares_no_beginning() -> None:
    case = Case(1, 20, 4, 3, shared_tokens=10)
    assert prompts_of(case, 700, 1)[0].split(" ")[:9] != prompts_of(case, 700, 2)[0].split(" ")[:9]
