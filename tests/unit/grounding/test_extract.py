from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.grounding.extract import compose, extract, nearest_sentence
from serve_app.grounding.prompt import Source
from serve_app.grounding.sentences import sentences

DOCS = (
    Source(
        1,
        "Streams > Joining (streams.md)",
        "# Joining\n\nWhy are frames joined? Frames of a stream are joined for some milliseconds. "
        "The first frame leaves at once. A message between replicas costs more than a token.",
    ),
    Source(
        2,
        "Deadlines (deadlines.md)",
        "A deadline travels with each request. Engines stop when the deadline is over.\n\n"
        "| setting | meaning |\n|---|---|\n| total_s | seconds of an answer |",
    ),
    Source(3, "Streams (readme.md)", "Frames of a stream are joined, for some milliseconds."),
)


def answer(question: str, num: int = 4, sources: tuple[Source, ...] = DOCS) -> str:
    return "".join(compose(extract(question, sources, num)))


def test_the_sentence_that_answers_is_quoted_with_its_number() -> None:
    assert answer("What happens to the frames of a stream?", 1) == (
        "Frames of a stream are joined for some milliseconds. [1]"
    )


def test_questions_and_headings_are_no_answers() -> None:
    assert "Why are" not in answer("Why are frames joined?")
    assert answer("Why are frames joined?").startswith("Frames of a stream are joined")


def test_the_same_thing_is_not_said_twice() -> None:
    assert "[3]" not in answer("How are frames of a stream joined?")


def test_the_answer_stands_in_reading_order_a_paragraph_a_passage() -> None:
    text = answer("When do engines stop, and how are frames of a stream joined?")
    first, second = text.split("\n\n")
    assert first.startswith("Frames")
    assert second == "Engines stop when the deadline is over. [2]"


def test_a_row_of_a_table_can_answer() -> None:
    assert answer("What is total_s?") == "total_s | seconds of an answer [2]"


@pytest.mark.parametrize("question", ["How do I bake bread?", "the of and", "", "?!"])
def test_what_no_sentence_fits_gets_no_quote(question: str) -> None:
    assert extract(question, DOCS, 4) == ()


def test_headings_help_to_choose() -> None:
    sources = (
        Source(1, "Install (a.md)", "Set the port to 8000 in the file."),
        Source(2, "Proxy (b.md)", "Set the port to 9000 in the file."),
    )
    assert extract("What port for the proxy?", sources, 1)[0].number == 2


def test_the_order_of_the_search_breaks_ties() -> None:
    sources = tuple(Source(n, "L (a.md)", f"The port is {n}000 here today.") for n in (1, 2, 3))
    assert extract("Which port?", sources, 1)[0].number == 1


def test_an_abstract_is_answered_from_its_finding() -> None:
    abstract = Source(
        1,
        "A trial of aspirin (1)",
        "BACKGROUND Cardiovascular disease is common. METHODS We randomised 500 patients to aspirin or placebo. "
        "RESULTS Aspirin reduced the rate of myocardial infarction by 20%. CONCLUSIONS More trials are needed.",
    )
    assert extract("Does aspirin lower the rate of myocardial infarction?", (abstract,), 1)[
        0
    ].sentence.text == ("RESULTS Aspirin reduced the rate of myocardial infarction by 20%.")


def test_a_citation_goes_before_the_code_that_a_sentence_introduces() -> None:
    sources = (Source(1, "Run (a.md)", "Start everything with:\n\n```\nmake run\n```\n"),)
    assert (
        answer("How do I start everything?", 4, sources) == "Start everything with: [1]\n```\nmake run\n```"
    )


def test_words_match_over_their_endings() -> None:
    assert extract("Is streaming stopped?", (Source(1, "x", "Streams can stop at any time here."),), 1)


def test_scripts_without_spaces_match_too() -> None:
    sources = (Source(1, "x", "猫が好きです。期限はリクエストと共に移動します。"),)
    quotes = extract("期限とは何ですか", sources, 1)
    assert [quote.sentence.text for quote in quotes] == ["期限はリクエストと共に移動します。"]


@given(
    st.text(max_size=80),
    st.lists(st.text(alphabet="abc d.\n-|`#?:E", max_size=120), min_size=1, max_size=4),
    st.integers(1, 6),
)
def test_every_quote_is_a_sentence_of_the_passage_that_it_names(
    question: str, texts: list[str], num: int
) -> None:
    sources = [Source(n, "abc", text) for n, text in enumerate(texts, start=1)]
    quotes = extract(question + " abc", sources, num)
    assert len(quotes) <= num
    assert [quote.number for quote in quotes] == sorted(quote.number for quote in quotes)
    for quote in quotes:
        assert quote.sentence in sentences(texts[quote.number - 1])
    assert extract(question + " abc", sources, num) == quotes


def test_the_nearest_sentence_shares_most_with_the_claim() -> None:
    assert (
        nearest_sentence("Deadlines end engines' work", DOCS[1]) == "Engines stop when the deadline is over."
    )
    assert nearest_sentence("Bread is baked", DOCS[1]) is None


def test_a_sentence_that_repeats_the_question_is_no_answer():
    source = Source(
        1, "a", 'Ask "How many rays are there in the reef?" of anyone. There are nine rays in the reef.'
    )
    (quote,) = extract("How many rays are there in the reef?", [source], 1)
    assert quote.sentence.text == "There are nine rays in the reef."
