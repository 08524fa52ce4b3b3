"""The ways that a question can go, and questions that go them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.scripted_model.facts import Fact, question

NUM_FACTS = 200
# States in which others work: models, judge, web. What remains is the pipeline's own.
OTHERS = frozenset({"generate", "regenerate", "evaluate", "web", "rewrite", "task"})


def entity(number: int) -> str:
    """Names of words, because the mock embedder and the lexical search know nothing else."""
    first = (
        "Orvane",
        "Belmor",
        "Tarsin",
        "Quillon",
        "Vesper",
        "Halden",
        "Morvik",
        "Sorrel",
        "Ennis",
        "Pellar",
    )
    second = ("Bay", "Reef", "Ridge", "Sound", "Strait", "Shoal", "Lagoon", "Atoll", "Basin", "Point")
    third = ("North", "South")
    return f"{first[number % 10]} {second[number // 10 % 10]} {third[number // 100 % 2]}"


def documents() -> dict[str, str]:
    """Path -> text of the knowledge base: one fact each."""
    return {
        f"{at}.md": f"{Fact('depth', entity(at), f'{at + 10} metres').said()}." for at in range(NUM_FACTS)
    }


def pages() -> dict[str, str]:
    """Title -> text of the web."""
    return {
        f"{entity(at)} today": f"{Fact('depth', entity(at), f'{at + 500} metres').said()}."
        for at in range(NUM_FACTS)
    }


# Path -> the question with a number.
QUESTIONS: Mapping[str, Callable[[int], str]] = {
    "chitchat": lambda _: "Hello!",
    "kb": lambda at: question("depth", entity(at % NUM_FACTS)),
    "abstained": lambda at: f"Which opera has nobody sung {at + 1000} times?",
    "fresh": lambda at: question("depth", entity(at % NUM_FACTS), is_fresh=True),
    # Its neighbours are there, so that the first draft is wrong.
    "regenerated": lambda at: question("depth", f"{entity(at % NUM_FACTS)} Annex"),
}
