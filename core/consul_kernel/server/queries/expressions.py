"""From tokens to a tree (HIL: `parser`)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .tokens import Kind, Token, scan

MAX_DEPTH = 50
"""How deep expressions may nest; Go's stack has no such bound."""

_ESCAPE = re.compile(r"\$\$|\\.?", re.DOTALL)
_ESCAPED = {"$$": "$", "\\\\": "\\", "\\n": "\n", '\\"': '"'}
_LEVELS: tuple[frozenset[str], ...] = tuple(
    map(frozenset, (("||",), ("&&",), ("==", "!="), (">", ">=", "<", "<="), ("+", "-"), ("*", "/", "%")))
)
"""Operators, the loosest first."""


class ExpressionError(ValueError):
    """A text that is no template, or cannot be evaluated; the text is HIL's."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that stands for itself."""

    at: Token
    value: str | int | float | bool


@dataclass(frozen=True, slots=True)
class Variable:
    """A value by name."""

    at: Token
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function's value."""

    at: Token
    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Binary:
    """An operator between two values."""

    at: Token
    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Conditional:
    """One of two values."""

    at: Token
    condition: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, slots=True)
class Output:
    """Text: its parts, one behind the other."""

    at: Token
    parts: tuple[Node, ...]


Node = Literal | Variable | Call | Binary | Conditional | Output


def parse(text: str) -> Output:
    """The tree of a text with expressions in it. ExpressionError when it is none."""
    return _Parser(scan(text)).output(Kind.TEXT, Kind.END_OF_TEXT)


def _problem(token: Token, text: str) -> ExpressionError:
    return ExpressionError(f"parse error at {token.line}:{token.column}: {text}")


def _expected(wanted: str, token: Token) -> ExpressionError:
    return _problem(token, f"expected {wanted} but found {token}")


class _Parser:
    """Recursive descent; each method gives the node of what it has read."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _read(self) -> Token:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _takes(self, sign: str) -> bool:
        token = self._peek()
        found = token.kind is Kind.SIGN and token.content == sign
        if found:
            self._read()
        return found

    def _require(self, sign: str) -> None:
        if not self._takes(sign):
            raise _expected(f'"{sign}"', self._peek())

    def output(self, text_kind: Kind, end: Kind) -> Output:
        """Text and expressions up to the end, which is read, too."""
        start = self._peek()
        parts: list[Node] = []
        while (token := self._read()).kind is not end:
            if token.kind is text_kind:
                parts.append(Literal(token, _unescaped(token)))
            elif token.kind is Kind.BEGIN:
                parts.append(self._expression())
                closing = self._read()
                if closing.kind is not Kind.END:
                    raise _expected('"}"', closing)
            else:
                raise _expected('"${"', token)
        return Output(start, tuple(parts))

    def _expression(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _problem(self._peek(), "expression nests too deeply")
        start = self._peek()
        node = self._operations(0)
        if self._takes("?"):
            then = self._expression()
            if not self._takes(":"):
                raise _expected(":", self._peek())
            node = Conditional(start, node, then, self._expression())
        self._depth -= 1
        return node

    def _operations(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._term()
        start = self._peek()
        node = self._operations(level + 1)
        while self._peek().kind is Kind.SIGN and self._peek().content in _LEVELS[level]:
            operator = self._read().content
            node = Binary(start, operator, node, self._operations(level + 1))
        return node

    def _term(self) -> Node:
        token = self._read()
        match token.kind:
            case Kind.OPEN_QUOTE:
                return self.output(Kind.QUOTED_TEXT, Kind.CLOSE_QUOTE)
            case Kind.INTEGER | Kind.FLOAT:
                return Literal(token, _number(token))
            case Kind.BOOL:
                return Literal(token, token.content == "true")
            case Kind.NAME:
                return self._named(token)
            case Kind.SIGN if token.content == "(":
                node = self._expression()
                self._require(")")
                return node
            case Kind.SIGN if token.content in "-!":
                return self._negated(token)
        raise _expected("expression", token)

    def _negated(self, sign: Token) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _problem(sign, "expression nests too deeply")
        operand = self._term()
        self._depth -= 1
        if sign.content == "-":
            return Binary(sign, "-", Literal(sign, 0), operand)
        return Binary(sign, "==", Literal(sign, False), operand)

    def _named(self, name: Token) -> Node:
        if not self._takes("("):
            return Variable(name, name.content)
        arguments: list[Node] = []
        while not (self._peek().kind is Kind.SIGN and self._peek().content == ")"):
            arguments.append(self._expression())
            if not self._takes(","):
                break
        self._require(")")
        return Call(name, name.content, tuple(arguments))


def _number(token: Token) -> int | float:
    try:
        return int(token.content[:40]) if token.kind is Kind.INTEGER else float(token.content)
    except ValueError:
        raise _problem(token, f'invalid float: strconv.ParseFloat: parsing "{token.content}": invalid syntax') from None


def _unescaped(token: Token) -> str:
    """Text as it is meant; backslashes are special only in quotes."""

    def plain(found: re.Match[str]) -> str:
        escape = found[0]
        if token.kind is Kind.TEXT and escape != "$$":
            return escape
        if escape not in _ESCAPED:
            kind = "unfinished" if escape == "\\" else "invalid"
            at = Token(token.kind, "", token.line, token.column + found.start())
            raise _problem(at, f"{kind} backslash escape sequence")
        return _ESCAPED[escape]

    return _ESCAPE.sub(plain, token.content)
