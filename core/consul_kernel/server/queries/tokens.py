"""Text with expressions in it, cut into tokens: `web-${match(1)}`.

The language is HIL, the one that Consul's templates are written in (github.com/hashicorp/hil, `scanner`). Outside of
`${…}` and in quotes inside of it stands text, in which `$$` is a dollar sign that begins nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from consul_kernel.structs.go_quote import quote


class Kind(Enum):
    """What a token is."""

    TEXT = "literal"
    QUOTED_TEXT = "string"
    BEGIN = "${"
    END = "}"
    OPEN_QUOTE = "opening quote"
    CLOSE_QUOTE = "closing quote"
    INTEGER = "integer"
    FLOAT = "float"
    BOOL = "bool"
    NAME = "identifier"
    SIGN = "sign"
    INVALID = "invalid"
    END_OF_TEXT = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """One token and where it stands; lines and columns count from 1."""

    kind: Kind
    content: str
    line: int
    column: int

    def __str__(self) -> str:
        """As errors show it."""
        match self.kind:
            case Kind.END_OF_TEXT:
                return "end of string"
            case Kind.INVALID:
                return f"invalid sequence {quote(self.content)}"
            case Kind.OPEN_QUOTE | Kind.CLOSE_QUOTE:
                return str(self.kind.value)
            case Kind.INTEGER | Kind.FLOAT:
                return f"{self.kind.value} {self.content}"
            case Kind.TEXT | Kind.QUOTED_TEXT:
                return f"{self.kind.value} {quote(self.content)}"
            case _:
                return quote(self.content)


_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"[0-9][0-9.]*")
_NAME = re.compile(r"[^\W\d](?:[\w\-]|\.(?:\*(?=\.|\W|$))?)*")
_SIGN = re.compile(r"==|!=|<=|>=|&&|\|\||[()\[\],+\-*/%!<>?:]")
_PLAIN = re.compile(r"(?:\$\$|\$(?!\{)|[^$])*")
_QUOTED = re.compile(r'(?:\$\$|\$(?!\{)|\\"|[^$"])*')


def scan(text: str) -> list[Token]:
    """All tokens, the last of them of kind END_OF_TEXT."""
    return _Scanner(text).tokens()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = self._column = 1
        self._tokens: list[Token] = []

    def tokens(self) -> list[Token]:
        """Text and expressions by turns, until there is no more, or what follows can be nothing."""
        depth = 0
        going_on = True
        while going_on:
            going_on = self._literal(is_quoted=depth > 0)
            if self._tokens and self._tokens[-1].kind is Kind.BEGIN:
                depth += 1
            while going_on:
                kind = self._token()
                going_on = kind not in (Kind.INVALID, Kind.END_OF_TEXT)
                if kind is Kind.END:
                    depth = max(depth - 1, 0)
                if kind in (Kind.END, Kind.OPEN_QUOTE):
                    break
        if self._tokens[-1].kind is not Kind.END_OF_TEXT:
            self._add(Kind.END_OF_TEXT, "")
        return self._tokens

    def _literal(self, *, is_quoted: bool) -> bool:
        """A run of text and what ends it; whether an expression follows."""
        found = (_QUOTED if is_quoted else _PLAIN).match(self._text, self._at)
        content = found[0] if found else ""
        rest = self._text[self._at + len(content) :]
        if is_quoted and not rest:
            self._add(Kind.INVALID, content)
            return False
        if content:
            self._add(Kind.QUOTED_TEXT if is_quoted else Kind.TEXT, content)
        if not rest:
            self._add(Kind.END_OF_TEXT, "")
            return False
        if rest.startswith("${"):
            self._add(Kind.BEGIN, "${")
        else:
            self._add(Kind.CLOSE_QUOTE, '"')
        return True

    def _token(self) -> Kind:
        space = _SPACE.match(self._text, self._at)
        if space is not None:
            self._move(space[0])
        if self._at >= len(self._text):
            return self._add(Kind.END_OF_TEXT, "")
        character = self._text[self._at]
        if character == "}":
            return self._add(Kind.END, character)
        if character == '"':
            return self._add(Kind.OPEN_QUOTE, character)
        if number := _NUMBER.match(self._text, self._at):
            return self._add(Kind.FLOAT if "." in number[0] else Kind.INTEGER, number[0])
        if name := _NAME.match(self._text, self._at):
            return self._add(Kind.BOOL if name[0] in ("true", "false") else Kind.NAME, name[0])
        if sign := _SIGN.match(self._text, self._at):
            return self._add(Kind.SIGN, sign[0])
        return self._add(Kind.INVALID, character)

    def _add(self, kind: Kind, content: str) -> Kind:
        self._tokens.append(Token(kind, content, self._line, self._column))
        self._move(content)
        return kind

    def _move(self, passed: str) -> None:
        self._at += len(passed)
        lines = passed.count("\n")
        self._line += lines
        self._column = len(passed) - passed.rfind("\n") if lines else self._column + len(passed)
