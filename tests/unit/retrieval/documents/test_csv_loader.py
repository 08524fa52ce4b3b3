from __future__ import annotations

import pytest

from serve_app.errors import BadRequest


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_rows_are_paragraphs_of_header_and_value(read, delimiter):
    rows = [["name", "note"], ["Ada", '"first; best, |\tof all"'], ["Bob", ""], ["", ""], ["Cy", "x"]]
    document = read("people.csv", "\r\n".join(delimiter.join(row) for row in rows))
    assert (
        document.sections[0].text
        == "name: Ada\nnote: first; best, | of all\n\nname: Bob\n\nname: Cy\nnote: x"
    )
    assert document.title == "people"


def test_cells_without_a_header_are_numbered(read):
    assert read("a.csv", "a,,c\n1,2,3,4\n").sections[0].text == "a: 1\ncolumn 2: 2\nc: 3\ncolumn 4: 4"


def test_one_column_is_read_as_it_is(read):
    assert read("a.csv", "word\nreef\nsea\n").sections[0].text == "word: reef\n\nword: sea"


def test_line_ends_inside_a_cell_do_not_end_its_row(read):
    assert read("a.csv", 'a,b\n"x\n\ny",2\n').sections[0].text == "a: x y\nb: 2"


def test_utf16_from_a_spreadsheet_is_read(read):
    assert read("a.tsv", "a\tb\n1\tü\n".encode("utf-16")).sections[0].text == "a: 1\nb: ü"


def test_an_open_quote_is_refused_with_its_line(read):
    with pytest.raises(BadRequest, match=r"a\.csv: line \d+ is not CSV"):
        read("a.csv", 'a,b\n1,"x\n' + "1,2\n" * 50_000)
