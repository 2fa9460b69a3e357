"""Values that somebody may send where a certain kind of value is expected, each kind with good ones among them."""

from __future__ import annotations

from collections.abc import Sequence

from fuzz.choices import Choices, octets, once_in, one_of

KNOWN_NAMES = ("web", "server", "client", "ext", "serfHealth", "service:web", "a/b", "deploy", "q", "dc1")
"""What exists on the agents (`http_requests.prepare`)."""

ODD_TEXTS = (
    b"",
    b" ",
    b"\0",
    b"a\0b",
    b"\r\n",
    b"x\r\nSet-Cookie: y",
    b"\x7f\x1b[0m",
    "é".encode(),
    "İ".encode(),  # grows in lower case
    "\u2028\ufeff\U0001f600".encode(),
    b"\xff\xfe",
    b"\xed\xa0\x80",  # a lone surrogate
    b"\xc0\xaf",  # an overlong slash
    b"..",
    b"../../etc/passwd",
    b"/",
    b"//",
    b"a/execute",
    b"/explain",
    b"_agent",
    b"_ip",
    b"*",
    b"%",
    b"%s%n{0}",
    b"${match(0)}",
    b"<>&'\"`",
    b":",
    b"k:v",
    b"[",
    b"(a*)*b",
    b"11111111-1111-2222-3333-444444444444",
    b"11111111-1111-2222-3333-44444444444g",
    b"true",
    b"null",
    b"x" * 300,
    b"y" * 9_000,
)
"""Octets: what is no UTF-8 is meant."""

ODD_NUMBERS = (
    *("0", "1", "7", "64", "65535", "65536", "-1", "-0", "+1", "00", "1_0", "0x1", "1e3", "1.5", " 1", "1 ", "٣"),
    *(str(2**31), str(2**32), str(2**53 + 1), str(2**63 - 1), str(2**63), str(2**64 - 1), str(2**64), "9" * 5_000),
    *("nan", "inf", "-inf", ""),
)
ODD_DURATIONS = (
    *(
        "10ms",
        "1s",
        "0",
        "0s",
        "-1s",
        "1",
        "5m",
        ".5s",
        "1.s",
        "1ns",
        "1µs",
        "1e3s",
        "1h1m1s",
        "99999999999h",
        "9" * 400,
    ),
    *("-9223372036854775808ns", "9223372036854775807ns", "9223372036854775808ns", "s", "1d", "NaNs", "", "+"),
)
ODD_FLAGS = ("", "true", "false", "1", "0", "yes", "T", "\0")

REGEXES = (
    *("(a*)*b", "(a|aa)+$", "(.*a){60}", "(x+x+)+y", "(.?){60}a", "((((.?)?)?)?){20}z", "[^a]*[^b]*[^c]*q$", ".{200}Q"),
    *("(a{1000}){1000}", "((a{100}){100}){100}", "x{1001}", "(" * 300 + ")" * 300, "[a-", "[z-a]", "(?P<n>a)", "(?=a)"),
    *(
        "(?i)straße",
        r"\pL+",
        r"\Qa*\E",
        r"\1",
        "\\",
        "a**",
        "*",
        ")",
        "^$",
        "",
        r"\x{10FFFF}",
        r"\x{110000}",
        r"\b\B",
        "(?i",
    ),
    *(
        "|" * 200,
        "a?" * 100 + "a" * 100,
        "(?:" + "|".join("abcdefghij") + "){1,100}",
        "[[:alpha:]]",
        "[[:nope:]]",
        "é+",
    ),
)

_SELECTORS = (
    *("Node", "Node.Node", "Service.Service", "Service.ID", "ServiceName", "Service.Tags", "Service.Meta", "Meta.k"),
    *("ServiceTags", "Checks.Status", "Checks.Output", "Output", "Status", "Name", "CheckID", "Port", "Service.Port"),
    *("Service.Weights.Passing", "TaggedAddresses.lan.Address", 'Meta["a b"]', "Service", "nope", "ModifyIndex", "ID"),
)
_OPERATORS = (
    "==",
    "!=",
    "contains",
    "not contains",
    "matches",
    "not matches",
    "is empty",
    "is not empty",
    "in",
    "=~",
    "",
)
_VALUES = ("web", "passing", "1", "-1", "1.5", "true", "é", "\0", "99999999999999999999999", "9" * 5_000, "a b")


_ODD_FILTERS = (
    *("(" * 5_000 + "Node == a" + ")" * 5_000, "not " * 5_000 + "Node == a", " or ".join(["Node == a"] * 1_000)),
    *(
        " or ".join(f"Node matches `{regex}`" for regex in REGEXES[:16]),
        "Node == " + "x" * 20_000,
        "Node ==",
        '"',
        "`",
        "(",
    ),
    *(
        "Node == a and",
        "and",
        "\0",
        "Node==a",
        "Node == a\n\tor\r\nNode == b",
        "Meta[`",
        'Meta["x"',
        "Node.",
        ".Node",
        "Node..x",
    ),
)
_DEEPEST_FILTER = 4


def text(choices: Choices) -> bytes:
    """A name or a text."""
    if once_in(choices, 8):
        return octets(choices, 12)
    return one_of(choices, KNOWN_NAMES).encode() if choices.below(2) else one_of(choices, ODD_TEXTS)


def likely(choices: Choices, values: Sequence[str]) -> bytes:
    """One of these; now and then some other text."""
    return text(choices) if once_in(choices, 6) else one_of(choices, values).encode()


def filter_expression(choices: Choices) -> bytes:
    """A filter, right or wrong."""
    if once_in(choices, 6):
        return one_of(choices, _ODD_FILTERS).encode()
    return _filter(choices, 0).encode()


def _filter(choices: Choices, depth: int) -> str:
    kind = choices.below(6) if depth < _DEEPEST_FILTER else 0
    if kind <= 2:
        return _question(choices)
    if kind == 3:
        return f"({_filter(choices, depth + 1)})"
    if kind == 4:
        return f"not {_filter(choices, depth + 1)}"
    word = one_of(choices, ("and", "or"))
    return f"{_filter(choices, depth + 1)} {word} {_filter(choices, depth + 1)}"


def _question(choices: Choices) -> str:
    selector = one_of(choices, _SELECTORS)
    match choices.below(3):
        case 0:
            return f"{selector} {one_of(choices, _OPERATORS)} {_quoted(one_of(choices, _VALUES))}"
        case 1:
            return f"{selector} {one_of(choices, ('matches', 'not matches'))} {_quoted(one_of(choices, REGEXES))}"
        case _:
            return f"{_quoted(one_of(choices, _VALUES))} {one_of(choices, ('in', 'not in'))} {selector}"


def _quoted(value: str) -> str:
    return f"`{value}`" if '"' in value else f'"{value}"'
