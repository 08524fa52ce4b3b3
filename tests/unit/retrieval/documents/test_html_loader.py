from __future__ import annotations

import pytest

from serve_app.errors import BadRequest


def texts(document):
    return [(section.headings, section.text) for section in document.sections]


def test_only_what_a_reader_sees_is_text(read):
    document = read(
        "a.html",
        """<!doctype html><html><head><title>The &amp; title</title><meta name=x content=junk>
        <style>p{}</style></head><body><nav>menu</nav><script>bad()</script><noscript>no</noscript>
        <p hidden>secret</p><p style="display: none">secret</p><!-- secret -->
        <h1>Hello <b>World</b><a href="#h">¶</a></h1><p>One
        two&nbsp;<i>th</i>ree.<br>four <img src=x alt="a ray"></p></body></html>""",
    )
    assert document.title == "The & title"
    assert texts(document) == [(("Hello World",), "One two\xa0three.\nfour a ray")]


def test_headings_make_nested_sections(read):
    document = read("a.html", "<h1>A</h1><p>1</p><div><h2>B</h2>2<h3>C</h3><p>3</div><h2>D</h2>4")
    assert texts(document) == [
        (("A",), "1"),
        (("A", "B"), "2"),
        (("A", "B", "C"), "3"),
        (("A", "D"), "4"),
    ]
    assert document.title == "A"


def test_lists_tables_and_code_keep_their_lines(read):
    document = read(
        "a.html",
        "<ul><li>a<li><p>b</p><ol start=3><li>c</ol></ul><table><tr><th>H<th>I<tr><td>1<td><p>2</p>x</table>"
        "<pre>def f():\n    return 1\n\nx</pre>",
    )
    assert document.sections[0].text == "- a\n- b\n  3. c\n\nH | I\n1 | 2 x\n\ndef f():\n    return 1\n\nx"


def test_a_table_that_frames_the_page_is_not_a_table(read):
    document = read("a.html", "<table><tr><td>side</td><td><h1>T</h1><p>one<p>two</td></tr></table>")
    assert texts(document) == [((), "side"), (("T",), "one\n\ntwo")]


def test_main_is_preferred(read):
    assert texts(read("a.html", "<div>menu</div><main><p>text</p></main><footer>f</footer>")) == [
        ((), "text")
    ]


def test_a_declared_encoding_is_used(read):
    content = '<meta charset="koi8-r"><p>манта</p>'.encode("koi8-r")
    assert read("a.html", content).sections[0].text == "манта"


@pytest.mark.parametrize(
    "content",
    [
        "<div>" * 100_000 + "x",
        "<b>" * 100_000 + "x",
        "<p>" + "".join(f"<p><font a={index}>x" for index in range(20_000)),
    ],
)
def test_bombs_are_refused(read, content):
    with pytest.raises(BadRequest, match=r"a\.html: its elements are nested deeper"):
        read("a.html", content)


def test_formatting_that_is_built_again_in_every_paragraph_is_refused(read):
    opened = "".join(f"<font a={index:0100}>" for index in range(1_500))
    with pytest.raises(BadRequest, match="never closed"):
        read("a.html", opened + "<p>x" * 10_000)


def test_comments_and_attributes_do_not_close_a_bomb(read):
    with pytest.raises(BadRequest, match="nested deeper"):
        read("a.html", "<div a='</div>'><!-- </div> -->" * 5_000)


def test_deep_nesting_within_the_limit_is_read(read):
    assert read("a.html", "<table><tr><td>" * 1_500 + "x").sections[0].text == "x"
