"""Numbers and booleans in parameters, as Go's `strconv` reads them, with its error texts."""

from __future__ import annotations

import re

from .options import quoted

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_INT = re.compile(r"[+-]?[0-9]+")
_MAX_DIGITS = 40
_INT64_END = 1 << 63


class GoNumberError(ValueError):
    """Text that is no number or boolean. The message is Go's."""


def parse_int(text: str) -> int:
    """A whole number of 64 bits (`strconv.Atoi`)."""
    if not _INT.fullmatch(text):
        raise GoNumberError(f"strconv.Atoi: parsing {quoted(text)}: invalid syntax")
    if len(text) > _MAX_DIGITS or not -_INT64_END <= int(text) < _INT64_END:
        raise GoNumberError(f"strconv.Atoi: parsing {quoted(text)}: value out of range")
    return int(text)


def parse_bool(text: str) -> bool:
    """`true`, `t`, `1` and the like (`strconv.ParseBool`)."""
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise GoNumberError(f"strconv.ParseBool: parsing {quoted(text)}: invalid syntax")
