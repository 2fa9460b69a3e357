"""Regular expressions in the syntax of Go's `regexp` (RE2), as far as filters need it: from text to a program.

For a machine that only answers whether there is a match, groups capture nothing; for one that tells the groups
(`submatch`), a program has an instruction at both ends of each. What RE2 lacks on purpose (backreferences, looking
around) is refused; Unicode classes (`\\pL`) and `\\Q…\\E` are not known either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

MAX_PROGRAM = 250
MAX_REPEAT = 1000
MAX_DEPTH = 50


class RegexpError(ValueError):
    """A text that is no regular expression, or too large a one; the text is in the manner of Go's."""


class Op(Enum):
    """What an instruction does."""

    CHARACTER = auto()
    SPLIT = auto()
    JUMP = auto()
    START_OF_TEXT = auto()
    END_OF_TEXT = auto()
    START_OF_LINE = auto()
    END_OF_LINE = auto()
    WORD_BOUNDARY = auto()
    NO_WORD_BOUNDARY = auto()
    SAVE = auto()
    MATCH = auto()


Accepts = Callable[[str], bool]


@dataclass(slots=True)
class Instruction:
    """`accepts` belongs to CHARACTER; `first` and `second` are where SPLIT and JUMP lead, from here.

    What SPLIT prefers is `first`. SAVE notes the place in the text as the one of number `first`: 2 n and 2 n + 1 are
    the ends of group n.
    """

    op: Op
    accepts: Accepts | None = None
    first: int = 0
    second: int = 0


Program = list[Instruction]

_ASSERTIONS = {"A": Op.START_OF_TEXT, "z": Op.END_OF_TEXT, "b": Op.WORD_BOUNDARY, "B": Op.NO_WORD_BOUNDARY}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}
_Ranges = tuple[tuple[str, str], ...]
_CLASSES: dict[str, _Ranges] = {
    "d": (("0", "9"),),
    "w": (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z")),
    "s": (("\t", "\n"), ("\f", "\r"), (" ", " ")),
}
_POSIX: dict[str, _Ranges] = {
    "alnum": (("0", "9"), ("A", "Z"), ("a", "z")),
    "alpha": (("A", "Z"), ("a", "z")),
    "digit": (("0", "9"),),
    "lower": (("a", "z"),),
    "punct": (("!", "/"), (":", "@"), ("[", "`"), ("{", "~")),
    "space": (("\t", "\r"), (" ", " ")),
    "upper": (("A", "Z"),),
    "word": _CLASSES["w"],
    "xdigit": (("0", "9"), ("A", "F"), ("a", "f")),
}
_HEX = frozenset("0123456789abcdefABCDEF")


def compile_program(text: str, *, saves_groups: bool = False) -> Program:
    """The program for an expression, ending in MATCH. RegexpError when there is none."""
    parser = _Parser(text, saves_groups)
    program = parser.alternatives()
    if parser.more:
        raise RegexpError(f"unexpected ): `{text}`")
    return [*program, Instruction(Op.MATCH)]


def is_word(character: str) -> bool:
    """Whether `\\b` counts it as part of a word."""
    return character == "_" or (character.isascii() and character.isalnum())


def _in_ranges(ranges: _Ranges, negated: bool, fold: bool) -> Accepts:
    def accepts(character: str) -> bool:
        found = any(low <= character <= high for low, high in ranges)
        if fold and not found:
            other = character.swapcase()
            found = len(other) == 1 and any(low <= other <= high for low, high in ranges)
        return found is not negated

    return accepts


class _Parser:
    """Recursive descent; each method gives the program of what it has read."""

    def __init__(self, text: str, saves_groups: bool) -> None:
        self._text = text
        self._saves_groups = saves_groups
        self._groups = 0
        self._at = 0
        self._depth = 0
        self._fold = self._lines = self._dot_all = self._ungreedy = False

    @property
    def more(self) -> bool:
        return self._at < len(self._text)

    def _peek(self) -> str:
        return self._text[self._at] if self.more else ""

    def _take(self, problem: str = "missing argument to repetition operator") -> str:
        if not self.more:
            raise RegexpError(f"{problem}: `{self._text}`")
        self._at += 1
        return self._text[self._at - 1]

    def _skip(self, text: str) -> bool:
        found = self._text.startswith(text, self._at)
        if found:
            self._at += len(text)
        return found

    # --- operators ---

    def alternatives(self) -> Program:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise RegexpError("expression nests too deeply")
        flags = self._fold, self._lines, self._dot_all, self._ungreedy
        program = self._sequence()
        while self._skip("|"):
            other = self._sequence()
            first = [Instruction(Op.SPLIT, first=1, second=len(program) + 2), *program]
            program = _bounded([*first, Instruction(Op.JUMP, first=len(other) + 1), *other])
        self._fold, self._lines, self._dot_all, self._ungreedy = flags
        self._depth -= 1
        return program

    def _sequence(self) -> Program:
        program: Program = []
        while self.more and self._peek() not in "|)":
            program = _bounded([*program, *self._repeated()])
        return program

    def _repeated(self) -> Program:
        begin = self._at
        program = self._atom()
        counts = self._repetition()
        if counts is None:
            return program
        is_lazy = self._skip("?") is not self._ungreedy
        operator = self._at
        if self._repetition() is not None:
            raise RegexpError(f"invalid nested repetition operator: `{self._text[begin : self._at]}`")
        self._at = operator
        return _repeat(program, *counts, is_lazy=is_lazy)

    def _repetition(self) -> tuple[int, int | None] | None:
        """The least and most repetitions (None: any number) that an operator here asks for."""
        for operator, counts in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._skip(operator):
                return counts
        if self._peek() != "{":
            return None
        end = self._text.find("}", self._at)
        low, comma, high = self._text[self._at + 1 : end].partition(",") if end > 0 else ("", "", "")
        if not low.isdecimal() or (high and not high.isdecimal()):
            return None  # an ordinary brace
        least, most = int(low), (int(high) if high else None) if comma else int(low)
        if max(least, most or 0) > MAX_REPEAT or (most is not None and most < least):
            raise RegexpError(f"invalid repeat count: `{self._text[self._at : end + 1]}`")
        self._at = end + 1
        return least, most

    # --- atoms ---

    def _atom(self) -> Program:
        character = self._take()
        match character:
            case "(":
                return self._group()
            case "[":
                return self._class()
            case "\\":
                return self._escape()
            case ".":
                return [_character((lambda _: True) if self._dot_all else (lambda c: c != "\n"))]
            case "^":
                return [Instruction(Op.START_OF_LINE if self._lines else Op.START_OF_TEXT)]
            case "$":
                return [Instruction(Op.END_OF_LINE if self._lines else Op.END_OF_TEXT)]
            case "*" | "+" | "?":
                raise RegexpError(f"missing argument to repetition operator: `{character}`")
            case _:
                return [self._literal(character)]

    def _literal(self, character: str) -> Instruction:
        return _character(_in_ranges(((character, character),), negated=False, fold=self._fold))

    def _group(self) -> Program:
        outside = self._fold, self._lines, self._dot_all, self._ungreedy
        saves = self._saves_groups
        if self._skip("?"):
            if self._skip("P<"):
                end = self._text.find(">", self._at)
                if end < 0 or not self._text[self._at : end].isidentifier():
                    raise RegexpError(f"invalid named capture: `{self._text}`")
                self._at = end + 1
            elif self._flags():
                return []
            else:
                saves = False
        if saves:
            self._groups += 1
        number = self._groups
        program = self.alternatives()
        if not self._skip(")"):
            raise RegexpError(f"missing closing ): `{self._text}`")
        self._fold, self._lines, self._dot_all, self._ungreedy = outside
        return _bounded([_save(2 * number), *program, _save(2 * number + 1)]) if saves else program

    def _flags(self) -> bool:
        """Read flags up to `:` (they hold inside this group) or `)` (they hold after it; then True)."""
        value = True
        while True:
            match self._take("missing closing )"):
                case "i":
                    self._fold = value
                case "m":
                    self._lines = value
                case "s":
                    self._dot_all = value
                case "U":
                    self._ungreedy = value
                case "-" if value:
                    value = False
                case ":":
                    return False
                case ")":
                    return True
                case _:
                    raise RegexpError(f"invalid or unsupported Perl syntax: `{self._text}`")

    def _escape(self) -> Program:
        character = self._take("trailing backslash at end of expression")
        if character in _ASSERTIONS:
            return [Instruction(_ASSERTIONS[character])]
        ranges = _CLASSES.get(character.lower())
        if ranges is not None:
            return [_character(_in_ranges(ranges, negated=character.isupper(), fold=False))]
        return [self._literal(self._escaped(character))]

    def _escaped(self, character: str) -> str:
        """The one character that an escape stands for."""
        if character in _CONTROLS:
            return _CONTROLS[character]
        if character == "x":
            digits = self._hex_digits()
            if digits and all(digit in _HEX for digit in digits) and int(digits, 16) <= 0x10FFFF:
                return chr(int(digits, 16))
        elif not character.isalnum():
            return character
        raise RegexpError(f"invalid escape sequence: `\\{character}`")

    def _hex_digits(self) -> str:
        if self._skip("{"):
            end = max(self._text.find("}", self._at), self._at)
            digits = self._text[self._at : end]
            self._at = end + 1
        else:
            digits = self._text[self._at : self._at + 2]
            self._at += 2
        return digits

    def _class(self) -> Program:
        negated = self._skip("^")
        tests: list[Accepts] = []
        first = True
        while first or self._peek() != "]":
            first = False
            tests.append(self._class_item())
        self._at += 1
        return [_character(lambda c: any(accepts(c) for accepts in tests) is not negated)]

    def _class_item(self) -> Accepts:
        if self._skip("[:"):
            end = self._text.find(":]", self._at)
            name = self._text[self._at : end] if end > 0 else ""
            ranges = _POSIX.get(name.removeprefix("^"))
            if ranges is None:
                raise RegexpError(f"invalid character class range: `[:{name}:]`")
            self._at = end + 2
            return _in_ranges(ranges, negated=name.startswith("^"), fold=self._fold)
        low = self._take("missing closing ]")
        if low == "\\":
            escaped = self._take("missing closing ]")
            known = _CLASSES.get(escaped.lower())
            if known is not None:
                return _in_ranges(known, negated=escaped.isupper(), fold=False)
            low = self._escaped(escaped)
        high = low
        if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
            self._at += 1
            high = self._take()
            if high == "\\":
                high = self._escaped(self._take("missing closing ]"))
        if high < low:
            raise RegexpError(f"invalid character class range: `{low}-{high}`")
        return _in_ranges(((low, high),), negated=False, fold=self._fold)


def _character(accepts: Accepts) -> Instruction:
    return Instruction(Op.CHARACTER, accepts)


def _bounded(program: Program) -> Program:
    if len(program) > MAX_PROGRAM:
        raise RegexpError("expression too large")
    return program


def _save(number: int) -> Instruction:
    return Instruction(Op.SAVE, first=number)


def _repeat(program: Program, least: int, most: int | None, *, is_lazy: bool) -> Program:
    size = len(program)
    if size * max(least, most or 1) > MAX_PROGRAM:
        raise RegexpError("expression too large")
    result = program * least
    if most is None:
        loop = [_choice(size + 2, is_lazy=is_lazy), *program, Instruction(Op.JUMP, first=-size - 1)]
        return _bounded(result + loop)
    optional = [_choice(size + 1, is_lazy=is_lazy), *program]
    return _bounded(result + optional * (most - least))


def _choice(behind: int, *, is_lazy: bool) -> Instruction:
    """Between what follows here and what stands behind it."""
    return Instruction(Op.SPLIT, first=behind, second=1) if is_lazy else Instruction(Op.SPLIT, first=1, second=behind)
