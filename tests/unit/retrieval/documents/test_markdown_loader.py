from __future__ import annotations

import pytest

from serve_app.errors import BadRequest


def test_headings_make_nested_sections(read):
    document = read(
        "a.md", "intro\n\n# Top\n\none\n\n## Low\n\ntwo\n\n### Deep\n\nthree\n\n## Other\n\nfour\n"
    )
    assert [(section.headings, section.text) for section in document.sections] == [
        ((), "intro"),
        (("Top",), "one"),
        (("Top", "Low"), "two"),
        (("Top", "Low", "Deep"), "three"),
        (("Top", "Other"), "four"),
    ]
    assert document.title == "Top"


def test_a_heading_without_text_is_kept_where_nothing_is_under_it(read):
    document = read("a.md", "# Top\n\n## Alone\n\n## Full\n\ntext\n")
    assert [(section.headings, section.text) for section in document.sections] == [
        (("Top",), "Alone"),
        (("Top", "Full"), "text"),
    ]


def test_paragraphs_lose_their_line_ends_and_markup_and_keep_their_words(read):
    document = read("a.md", "A *b*\nand `c` with [a link](http://x) and ![a ray](r.png)<br>end.\n")
    assert document.sections[0].text == "A b and c with a link and a ray\nend."


def test_code_and_tables_keep_their_lines(read):
    text = "```sh\nmake run\n\nmake test  # both\n```\n\n| a | b |\n|---|---|\n| 1 | `2` |\n"
    assert read("a.md", text).sections[0].text == (
        "```sh\nmake run\n\nmake test  # both\n```\n\na | b\n1 | 2"
    )


def test_a_hash_in_code_is_no_heading(read):
    assert len(read("a.md", "# T\n\n```\n# not a heading\n```\n").sections) == 1


def test_lists_are_lines_with_their_nesting_and_numbers(read):
    text = "- a\n- b\n  1. c\n  2. d\n\n     more\n- e\n\n3. f\n4. g\n"
    assert read("a.md", text).sections[0].text == ("- a\n- b\n  1. c\n  2. d\n    more\n- e\n\n3. f\n4. g")


def test_html_in_markdown_is_read_as_html(read):
    text = "<!-- hidden --> \n\n<details>\n<summary>More</summary>\n<b>x</b> &amp; y\n</details>\n"
    assert read("a.md", text).sections[0].text == "More\n\nx & y"


def test_front_matter_gives_title_and_description(read):
    document = read(
        "a.md", "---\ntitle: 'The: title'\ndescription: About it\ndate: 2024-13-45\n---\n\n# H\n\nx\n"
    )
    assert document.title == "The: title"
    assert [section.text for section in document.sections] == ["About it", "x"]


@pytest.mark.parametrize("top", ["---\n\nno fields\n\n---\n", "---\na: [b\n---\n"])
def test_what_only_looks_like_front_matter_is_text(read, top):
    (section,) = read("a.md", top + "\nend\n").sections
    assert section.text.endswith("end")
    assert (*section.headings, section.text) != ("end",)


def test_a_deeply_nested_list_is_not_lost(read):
    text = "".join("  " * depth + f"- item {depth}\n" for depth in range(18))
    assert "item 17" in read("a.md", text).sections[0].text


def test_brackets_without_end_are_refused(read):
    with pytest.raises(BadRequest, match=r"a\.md: it holds more than 500,000 opening brackets"):
        read("a.md", "![" * 500_001)
