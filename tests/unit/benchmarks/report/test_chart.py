from __future__ import annotations

import json
import math
import re
from itertools import pairwise

from benchmarks.report.chart import Chart
from benchmarks.report.marks import Bars, Dots, Level, Line, Mark, Steps, Ticks, Upright
from benchmarks.report.scales import Linear, Tail

X, Y = Linear(0, 10), Linear(0, 100)


def draw(*marks: Mark, **kwargs: object) -> str:
    return Chart("Some <b>title</b>", X, Y, "time", "ms", marks, **kwargs).draw()  # type: ignore[arg-type]


def test_a_line_breaks_where_nothing_is_known() -> None:
    line = Line("p99", "red", [0, 1, 2, 3, 4, 5], [10, 20, math.inf, 30, 40, math.nan])
    drawn = line.draw(X, Y)
    assert drawn == '<path class="line" d="M0 900L200 800M600 700L800 600"></path>'


def test_a_point_without_neighbours_is_still_seen() -> None:
    drawn = Line("p99", "red", [0, 1, 2], [math.nan, 50, math.nan]).draw(X, Y)
    assert drawn == '<path class="point" d="M200 500h0"></path>'


def test_values_beyond_the_axis_stay_on_the_drawing() -> None:
    assert "M2000 0h0" in Dots("", "grey", [99], [1e9]).draw(X, Y)


def test_bars_stand_on_what_is_below_them_and_empty_ones_are_not_drawn() -> None:
    drawn = Bars("x", "red", [0, 1, 2], [10, 0], floors=[20, 0]).draw(X, Y)
    assert drawn == '<path class="bars" d="M0 800V700H200V800z"></path>'


def test_an_outline_goes_over_every_bin() -> None:
    assert 'd="M0 1000V900H200V800H400"' in Steps("x", "ink", [0, 1, 2], [10, 20]).draw(X, Y)


def test_moments_that_fall_together_are_drawn_once() -> None:
    assert Ticks("x", "pink", [1.0, 1.00001, 2.0]).draw(X, Y).count("v45") == 2


def test_each_named_mark_can_be_hidden_where_there_are_several() -> None:
    one, other = Line("p50", "blue", [0], [1]), Line("p95", "red", [0], [1])
    assert "<button" not in draw(one)
    drawn = draw(one, other)
    assert re.findall(r'data-series="(\d)">', drawn) == ["0", "1", "0", "1"]
    assert drawn.count('aria-pressed="true"') == 2


def test_the_pointer_gets_the_figures_of_the_lines_and_knows_failed_from_unknown() -> None:
    line = Line("p99", "red", [1, 2, 3], [12.3456, math.inf, math.nan])
    drawn = draw(Dots("all", "grey", [1], [1]), line, hover=[(1, "a"), (2, "b"), (3, "</script>")])
    (block,) = re.findall(r'<script type="application/json" class="hover">(.*?)</script>', drawn)
    assert json.loads(block) == {
        "unit": "ms",
        "at": [0.1, 0.2, 0.3],
        "words": ["a", "b", "</script>"],
        "series": [{"n": 1, "name": "p99", "ys": [12.35, "failed", None]}],
    }


def test_titles_and_signs_are_escaped() -> None:
    drawn = draw(uprights=[Upright(3, "<i>killed</i>")], levels=[Level(5, "<i>goal</i>")])
    assert "<i>" not in drawn
    assert "<b>" not in drawn
    assert "&lt;i&gt;killed&lt;/i&gt;" in drawn


def test_crowded_labels_give_way() -> None:
    drawn = Chart("t", Tail(5), Y, "percentile", "ms", ()).draw()
    labels = re.findall(r'class="xt( minor)?" style="left:([\d.]+)%">(p[\d.]+)<', drawn)
    places = [float(place) for _, place, _ in labels]
    assert all(right - left >= 4 for left, right in pairwise(places))
    assert [words for crowd, _, words in labels if crowd] == ["p95"]
