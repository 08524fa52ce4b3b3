from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.errors import ConfigError
from serve_app.retrieval.sources.globs import chooser


@pytest.mark.parametrize(
    ("pattern", "wanted", "unwanted"),
    [
        ("*.md", ["a.md", "x/y/a.md"], ["a.mdx", "a.md/b"]),
        ("/*.md", ["a.md"], ["x/a.md"]),
        ("docs/*.md", ["docs/a.md"], ["docs/x/a.md", "x/docs/a.md"]),
        ("docs/**/*.md", ["docs/a.md", "docs/x/y/a.md"], ["a.md"]),
        ("docs/**", ["docs/a", "docs/x/y"], ["docs", "mydocs/a"]),
        ("drafts/", ["drafts/a.md", "x/drafts/b/c"], ["drafts"]),
        ("a?c.txt", ["abc.txt"], ["ac.txt", "a/c.txt"]),
        ("[!_]*.txt", ["a.txt"], ["_a.txt"]),
        ("[ab].txt", ["a.txt"], ["c.txt"]),
        ("a.b", ["a.b"], ["axb"]),
        ("[", ["["], ["a"]),
    ],
)
def test_patterns(pattern: str, wanted: list[str], unwanted: list[str]) -> None:
    chooses = chooser([pattern], [])
    assert [path for path in (*wanted, *unwanted) if chooses(path)] == wanted


def test_what_is_excluded_is_out_whatever_is_included() -> None:
    chooses = chooser(["docs/**"], ["*.tmp.md"])
    assert chooses("docs/a.md")
    assert not chooses("docs/a.tmp.md")
    assert chooser([], [])("anything")


@given(st.text(alphabet="*?[]!\\/ab-^.", max_size=12), st.text(alphabet="ab/.-\\]", max_size=12))
def test_any_pattern_is_a_glob_or_refused_by_name(pattern: str, path: str) -> None:
    with contextlib.suppress(ConfigError):
        chooser([pattern], [])(path)


def test_a_pattern_that_is_none_is_named() -> None:
    with pytest.raises(ConfigError, match=r"the pattern '\[z-a\]' is no glob"):
        chooser(["[z-a]"], [])
