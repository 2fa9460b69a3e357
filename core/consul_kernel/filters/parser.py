"""From text to a tree: a lexer, and a Pratt parser (V. Pratt, "Top down operator precedence", 1973).

The language is that of Consul's documentation ("Filtering"): `not` binds tighter than `and`, `and` tighter than
`or`. An unquoted value is a word of letters, digits, underscores and dots, or a number; anything else needs
quotes. Errors begin as those of Consul's parser do, `line:column (offset): `.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from consul_kernel.contracts.errors import RequestError

from .expression import And, Expression, Match, Not, Operator, Or

MAX_EXPRESSION_CHARACTERS = 16384
MAX_DEPTH = 64
"""How deep parentheses and negations may lie within each other."""
MAX_REGEXPS = 16
"""How many `matches` an expression may have: each remembers steps."""

_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n]+)
  | (?P<word>[a-zA-Z][a-zA-Z0-9_]*(?:\.[a-zA-Z][a-zA-Z0-9_]*|\.[0-9]+|\[\s*(?:"[^"]*"|`[^`]*`)\s*\])*)
  | (?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?=[ \t\r\n)]|$))
  | (?P<string>"[^"]*"|`[^`]*`)
  | (?P<symbol>==|!=|\(|\))
    """,
    re.VERBOSE,
)
_PART = re.compile(r"""\[\s*(?:"([^"]*)"|`([^`]*)`)\s*\]|\.?([a-zA-Z0-9_]+)""")
_KEYWORDS = frozenset({"and", "or", "not", "in", "is", "contains", "matches", "empty"})
_OR_POWER, _AND_POWER, _NOT_POWER = 1, 2, 3


class FilterError(RequestError):
    """A filter expression that cannot be understood, or asks what its fields do not have."""


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    offset: int


def parse(text: str) -> Expression:
    """The tree of an expression. FilterError says where it goes wrong."""
    if len(text) > MAX_EXPRESSION_CHARACTERS:
        raise FilterError(f"filter expressions have at most {MAX_EXPRESSION_CHARACTERS} characters")
    return _Parser(text).parse()


def _fail(text: str, offset: int, found: str) -> NoReturn:
    line = text.count("\n", 0, offset) + 1
    column = offset - (text.rfind("\n", 0, offset) + 1) + 1
    raise FilterError(f"{line}:{column} ({offset}): no match found, expected: {found}")


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            if text[at] in '"`':
                _fail(text, at, "the end of the string literal")
            _fail(text, at, "a selector, a value or an operator")
        kind = match.lastgroup or ""
        if kind != "space":
            tokens.append(_Token(kind, match.group(), at))
        at = match.end()
    tokens.append(_Token("end", "", len(text)))
    return tokens


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0
        self._regexps = 0

    def parse(self) -> Expression:
        expression = self._expression(0)
        if self._next.kind != "end":
            self._fail('"and", "or" or the end')
        return expression

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _is(self, text: str) -> bool:
        token = self._next
        return token.text == text and token.kind != "string"

    def _take(self) -> _Token:
        token = self._next
        self._at += 1
        return token

    def _fail(self, expected: str) -> NoReturn:
        _fail(self._text, self._next.offset, expected)

    def _expression(self, power: int) -> Expression:
        left = self._operand()
        while True:
            if self._is("or") and power <= _OR_POWER:
                left = Or(self._operands("or", left, _OR_POWER))
            elif self._is("and") and power <= _AND_POWER:
                left = And(self._operands("and", left, _AND_POWER))
            else:
                return left

    def _operands(self, word: str, first: Expression, power: int) -> tuple[Expression, ...]:
        """All that the same word joins: side by side, so that a long chain is no deep tree."""
        operands = [first]
        while self._is(word):
            self._take()
            operands.append(self._expression(power + 1))
        return tuple(operands)

    def _operand(self) -> Expression:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(f"at most {MAX_DEPTH} levels of nesting")
        try:
            if self._is("not"):
                self._take()
                return Not(self._expression(_NOT_POWER))
            if self._is("("):
                self._take()
                inner = self._expression(0)
                if not self._is(")"):
                    self._fail('")"')
                self._take()
                return inner
            return self._match()
        finally:
            self._depth -= 1

    def _match(self) -> Match:
        first = self._take_value("a selector or a value")
        if self._is("in"):
            self._take()
            return Match(self._selector(self._take_value("a selector")), Operator.IN, _value(first))
        if self._is("not") and self._tokens[self._at + 1].text == "in":
            self._at += 2
            return Match(self._selector(self._take_value("a selector")), Operator.NOT_IN, _value(first))
        selector = self._selector(first)
        operator = self._operator()
        if operator in (Operator.IS_EMPTY, Operator.IS_NOT_EMPTY):
            return Match(selector, operator)
        if operator in (Operator.MATCHES, Operator.NOT_MATCHES):
            self._regexps += 1
            if self._regexps > MAX_REGEXPS:
                self._fail(f"at most {MAX_REGEXPS} regular expressions")
        return Match(selector, operator, _value(self._take_value("a value")))

    def _operator(self) -> Operator:
        for words, operator in _OPERATORS:
            ahead = self._tokens[self._at : self._at + len(words)]
            if [token.text for token in ahead if token.kind != "string"] == list(words):
                self._at += len(words)
                return operator
        return self._fail("an operator")

    def _take_value(self, expected: str) -> _Token:
        token = self._next
        if token.kind not in ("word", "number", "string"):
            self._fail(expected)
        return self._take()

    def _selector(self, token: _Token) -> tuple[str, ...]:
        if token.kind != "word" or token.text in _KEYWORDS:
            _fail(self._text, token.offset, "a selector")
        return tuple(quoted or raw or plain for quoted, raw, plain in _PART.findall(token.text))


_OPERATORS: tuple[tuple[tuple[str, ...], Operator], ...] = (
    (("==",), Operator.EQUAL),
    (("!=",), Operator.NOT_EQUAL),
    (("contains",), Operator.IN),
    (("not", "contains"), Operator.NOT_IN),
    (("is", "empty"), Operator.IS_EMPTY),
    (("is", "not", "empty"), Operator.IS_NOT_EMPTY),
    (("matches",), Operator.MATCHES),
    (("not", "matches"), Operator.NOT_MATCHES),
)


def _value(token: _Token) -> str:
    return token.text[1:-1] if token.kind == "string" else token.text
