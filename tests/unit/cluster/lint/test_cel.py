"""CEL, as far as the rules of CRDs go."""

from __future__ import annotations

import pytest

from cluster.lint.cel import evaluate
from cluster.lint.cel_functions import CelError, duration_s

SELF = {
    "a": 1,
    "flag": True,
    "alias": "al2023@latest",
    "wait": "5m",
    "k-x": 2,
    "terms": [{"kind": "x", "values": ["q"]}, {"kind": "y"}],
    "labels": {"a/b": "1", "c": "2"},
    "url": "https://host.example:8080/path",
}


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("has(self.a) && !has(self.b)", True),
        ("!has(self.b) || self.b > 1", True),
        ("self.b > 1 || has(self.a)", True),
        ("self.b > 1 && !has(self.a)", False),
        ("self.terms.all(x, x.kind == 'x' ? x.values.size() != 0 : true)", True),
        ("self.terms.exists_one(x, has(x.values))", True),
        ("self.terms.exists(x, x.nothing == 1)", None),
        ("self.terms.filter(x, x.kind == 'y').size() <= 1", True),
        ("self.terms.map(x, x.kind) == ['x', 'y']", True),
        ("self.alias.find('^[^@]+') == 'al2023'", True),
        ("self.alias.split('@')[0] in ['al2', 'al2023']", True),
        ("self.alias.matches(r'^[a-z0-9]+@.+$')", True),
        ("duration(self.wait) >= duration('1s')", True),
        ("!quantity(string(self.a)).isLessThan(quantity('2'))", False),
        ("(has(self.terms) ? self.terms.size() : 0) + 1 == 3", True),
        ("self.labels.all(k, k.size() < 5)", True),
        ("'c' in self.labels", True),
        ("self.k__dash__x == 2", True),
        ("[has(self.a), has(self.b)].filter(x, x == true).size() == 1", True),
        (
            "isURL(self.url) && url(self.url).getScheme() == 'https' && url(self.url).getHostname() == 'host.example'",
            True,
        ),
        ("-7 / 2 == -3 && -7 % 2 == -1", True),
        ("self.flag == 1", False),
        ("size('abc') == 3 && 'abc'.startsWith('a') && 'abc'.indexOf('c') == 2", True),
        ("isIP('10.0.0.1') && !isIP('10.0.0')", True),
    ],
)
def test_expressions(rule: str, value: bool | None) -> None:
    if value is None:
        with pytest.raises(CelError):
            evaluate(rule, {"self": SELF})
    else:
        assert evaluate(rule, {"self": SELF}) is value


@pytest.mark.parametrize(
    "rule", ["self.", "unknown(self)", "self.a.unknown()", "self.a ==", "(self.a", "self.a $ 1", "has(self)"]
)
def test_what_is_not_known_is_said(rule: str) -> None:
    with pytest.raises(CelError):
        evaluate(rule, {"self": SELF})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1h30m", 5400.0), ("300ms", 0.3), ("0", 0.0), ("-5s", -5.0), ("5", None), ("5d", None), (5, None)],
)
def test_durations(text: object, seconds: float | None) -> None:
    assert duration_s(text) == pytest.approx(seconds) if seconds is not None else duration_s(text) is None
