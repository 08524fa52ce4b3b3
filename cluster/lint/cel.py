"""CEL, as far as CRDs use it in their rules, with the functions that Kubernetes adds.

The language: https://github.com/google/cel-spec; Kubernetes' additions:
https://kubernetes.io/docs/reference/using-api/cel. An expression becomes a tree of Python functions once. Macros
(`has`, `all`, `exists`, `exists_one`, `filter`, `map`) take their arguments unevaluated; `&&`, `||`, `all` and `exists`
pass over an error where the other side decides, as the language demands. What is not known here is a CelError when the
expression is read, and not a wrong answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from cluster.lint.cel_functions import FUNCTIONS, METHODS, CelError

Scope = Mapping[str, Any]
Expression = Callable[[Scope], Any]

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<string>[rR]?(?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
    |(?P<number>(?:0x[0-9a-fA-F]+|\d+\.\d+(?:[eE][+-]?\d+)?|\d+(?:[eE][+-]?\d+)?)u?)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%!?:.,<>()\[\]{}])
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}
# How a field is named in a rule whose name is no word of CEL's.
_FIELD_ESCAPES = {"__dot__": ".", "__dash__": "-", "__slash__": "/", "__underscores__": "__"}
_LITERALS = {"true": True, "false": False, "null": None}
_LEVELS: tuple[tuple[str, ...], ...] = (
    ("||",),
    ("&&",),
    ("==", "!=", "<=", ">=", "<", ">", "in"),
    ("+", "-"),
    ("*", "/", "%"),
)


def evaluate(text: str, scope: Scope) -> Any:
    """The value of the expression with these variables.

    Raises:
        CelError: it is no CEL, uses what is not known here, or has no value (a field that is not there).
    """
    try:
        return _read(text)(scope)
    except (TypeError, ValueError, AttributeError) as exc:  # a function that got what it is not for
        raise CelError(str(exc)) from exc


@lru_cache(maxsize=2048)
def _read(text: str) -> Expression:
    reader = _Reader(_tokens(text))
    expression = reader.ternary()
    reader.expect_end()
    return expression


class _Reader:
    """A parser by descent; every method returns the function of what it read."""

    def __init__(self, tokens: Sequence[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0

    def expect_end(self) -> None:
        if self._at < len(self._tokens):
            raise CelError(f"{self._tokens[self._at][1]!r} is not expected here")

    def ternary(self) -> Expression:
        asked = self._binary(0)
        if not self._take("?"):
            return asked
        then = self.ternary()
        self._expect(":")
        other = self.ternary()
        return lambda scope: then(scope) if _truth(asked(scope)) else other(scope)

    def _binary(self, level: int) -> Expression:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while (sign := self._take(*_LEVELS[level])) is not None:
            left = _operation(sign, left, self._binary(level + 1))
        return left

    def _unary(self) -> Expression:
        if self._take("!"):
            part = self._unary()
            return lambda scope: not _truth(part(scope))
        if self._take("-"):
            part = self._unary()
            return lambda scope: -part(scope)
        return self._postfix()

    def _postfix(self) -> Expression:
        value = self._primary()
        while True:
            if self._take("."):
                name = self._name()
                value = self._method(value, name) if self._take("(") else _field(value, name)
            elif self._take("["):
                index = self.ternary()
                self._expect("]")
                value = _index(value, index)
            else:
                return value

    def _primary(self) -> Expression:
        kind, text = self._next()
        if kind == "number":
            return _constant(_number(text))
        if kind == "string":
            return _constant(_string(text))
        if kind == "name":
            return self._named(text)
        if text == "(":
            inner = self.ternary()
            self._expect(")")
            return inner
        if text == "[":
            items = self._arguments("]")
            return lambda scope: [item(scope) for item in items]
        if text == "{":
            return self._map()
        raise CelError(f"{text!r} is not expected here")

    def _named(self, name: str) -> Expression:
        if name in _LITERALS:
            return _constant(_LITERALS[name])
        if not self._take("("):
            return lambda scope: _variable(scope, name)
        if name == "has":
            return self._has()
        if name not in FUNCTIONS:
            raise CelError(f"the function {name} is not known here")
        function, arguments = FUNCTIONS[name], self._arguments(")")
        return lambda scope: function(*(argument(scope) for argument in arguments))

    def _has(self) -> Expression:
        """`has(a.b)`: the last step is asked for instead of taken."""
        start = self._at
        depth, last = 1, None
        for index in range(start, len(self._tokens)):
            text = self._tokens[index][1]
            depth += text in ("(", "[", "{")
            depth -= text in (")", "]", "}")
            if depth == 0:
                break
            if depth == 1 and self._tokens[index] == ("sign", "."):
                last = index
        if last is None:
            raise CelError("has() asks for a field")
        inner = _Reader(self._tokens[start:last])
        owner, name = inner.ternary(), _unescaped(self._tokens[last + 1][1])
        inner.expect_end()
        self._at = last + 2
        self._expect(")")
        return lambda scope: _holds(owner(scope), name)

    def _method(self, owner: Expression, name: str) -> Expression:
        if name in _MACROS:
            variable = self._name()
            self._expect(",")
            body = self.ternary()
            self._expect(")")
            macro = _MACROS[name]
            return lambda scope: macro(_members(owner(scope)), lambda item: body({**scope, variable: item}))
        if name not in METHODS:
            raise CelError(f"the function {name} is not known here")
        method, arguments = METHODS[name], self._arguments(")")
        return lambda scope: method(owner(scope), *(argument(scope) for argument in arguments))

    def _map(self) -> Expression:
        entries: list[tuple[Expression, Expression]] = []
        while not self._take("}"):
            key = self.ternary()
            self._expect(":")
            entries.append((key, self.ternary()))
            self._take(",")
        return lambda scope: {key(scope): value(scope) for key, value in entries}

    def _arguments(self, end: str) -> list[Expression]:
        found: list[Expression] = []
        while not self._take(end):
            found.append(self.ternary())
            self._take(",")
        return found

    def _name(self) -> str:
        kind, text = self._next()
        if kind != "name":
            raise CelError(f"{text!r} where a name belongs")
        return text

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise CelError("the expression ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, *texts: str) -> str | None:
        if self._at < len(self._tokens):
            kind, text = self._tokens[self._at]
            if text in texts and (kind == "sign" or text == "in"):
                self._at += 1
                return text
        return None

    def _expect(self, text: str) -> None:
        if self._take(text) is None:
            raise CelError(f"{text!r} is missing")


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    position = 0
    text = text.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise CelError(f"{text[position : position + 10]!r} is not known here")
        found.append((str(match.lastgroup), match[str(match.lastgroup)]))
        position = match.end()
    return found


def _number(text: str) -> int | float:
    text = text.removesuffix("u")
    return float(text) if not text.startswith("0x") and re.search(r"[.eE]", text) else int(text, 0)


def _string(text: str) -> str:
    is_raw = text[0] in "rR"
    text = text.lstrip("rR") if is_raw else text
    width = 3 if text[:3] in ('"""', "'''") else 1
    body = text[width:-width]
    return (
        body
        if is_raw
        else re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), body, flags=re.DOTALL)
    )


def _constant(value: Any) -> Expression:
    return lambda _: value


def _variable(scope: Scope, name: str) -> Any:
    if name not in scope:
        raise CelError(f"no such variable: {name}")
    return scope[name]


def _field(owner: Expression, name: str) -> Expression:
    name = _unescaped(name)

    def take(scope: Scope) -> Any:
        value = owner(scope)
        if not _holds(value, name):
            raise CelError(f"no such key: {name}")
        return value[name]

    return take


def _index(owner: Expression, index: Expression) -> Expression:
    def take(scope: Scope) -> Any:
        value, key = owner(scope), index(scope)
        try:
            return value[key]
        except (KeyError, IndexError, TypeError) as exc:
            raise CelError(f"no such key: {key}") from exc

    return take


def _unescaped(name: str) -> str:
    for escape, meant in _FIELD_ESCAPES.items():
        name = name.replace(escape, meant)
    return name.removeprefix("__").removesuffix("__") if re.fullmatch(r"__[a-z]+__", name) else name


def _holds(value: Any, name: str) -> bool:
    return isinstance(value, Mapping) and name in value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise CelError("no truth where one is asked")
    return value


def _members(value: Any) -> Sequence[Any]:
    if isinstance(value, Mapping):
        return list(value)
    if isinstance(value, list):
        return value
    raise CelError("neither a list nor a map")


def _operation(sign: str, left: Expression, right: Expression) -> Expression:
    if sign in ("&&", "||"):
        return _either(left, right, decides=sign == "||")
    operate = _OPERATORS[sign]

    def apply(scope: Scope) -> Any:
        try:
            return operate(left(scope), right(scope))
        except (TypeError, ZeroDivisionError) as exc:
            raise CelError(str(exc)) from exc

    return apply


def _either(left: Expression, right: Expression, *, decides: bool) -> Expression:
    """`||` and `&&`: a side that decides is enough, whatever error the other one has."""

    def apply(scope: Scope) -> bool:
        return _any([lambda: left(scope), lambda: right(scope)], decides=decides)

    return apply


def _any(sides: Sequence[Callable[[], Any]], *, decides: bool) -> bool:
    error: CelError | None = None
    for side in sides:
        try:
            if _truth(side()) is decides:
                return decides
        except CelError as exc:
            error = error or exc
    if error is not None:
        raise error
    return not decides


def _all(items: Sequence[Any], body: Callable[[Any], Any]) -> bool:
    return _any([partial(body, item) for item in items], decides=False)


def _exists(items: Sequence[Any], body: Callable[[Any], Any]) -> bool:
    return _any([partial(body, item) for item in items], decides=True)


_MACROS: dict[str, Callable[[Sequence[Any], Callable[[Any], Any]], Any]] = {
    "all": _all,
    "exists": _exists,
    "exists_one": lambda items, body: sum(_truth(body(item)) for item in items) == 1,
    "filter": lambda items, body: [item for item in items if _truth(body(item))],
    "map": lambda items, body: [body(item) for item in items],
}
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": lambda a, b: a == b and isinstance(a, bool) == isinstance(b, bool),
    "!=": lambda a, b: a != b or isinstance(a, bool) != isinstance(b, bool),
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "in": lambda a, b: a in b,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: int(a / b) if isinstance(a, int) and isinstance(b, int) else a / b,
    "%": lambda a, b: a - b * int(a / b),
}
