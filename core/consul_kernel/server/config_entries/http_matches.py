"""What routers and intentions say of HTTP requests alike."""

from __future__ import annotations

from consul_kernel.structs.go_quote import quote

from .values import Settings, records, text

HEADER_TESTS = ("Present", "Exact", "Prefix", "Suffix", "Regex")
_PATHS = ("PathExact", "PathPrefix", "PathRegex")


def path_fault(http: Settings, joint: str) -> str:
    """What is wrong with the test of a path, or an empty string; `joint` stands between the place and a field."""
    for field in _PATHS[:2]:
        path = text(http, field)
        if path and not path.startswith("/"):
            return f"{joint}{field} doesn't start with '/': {quote(path)}"
    if count_paths(http) > 1:
        return " should only contain at most one of PathExact, PathPrefix, or PathRegex"
    return ""


def count_paths(http: Settings) -> int:
    """How many tests of the path there are."""
    return sum(bool(text(http, field)) for field in _PATHS)


def tests_fault(http: Settings, field: str, tests: tuple[str, ...], joint: str) -> str:
    """What is wrong with the tests of headers or parameters, each of which has a name and one test."""
    listed = f"{', '.join(tests[:-1])}, or {tests[-1]}"
    for at, item in enumerate(records(http, field)):
        if not text(item, "Name"):
            return f"{joint}{field}[{at}] missing required Name field"
        if sum(bool(item.get(test)) for test in tests) != 1:
            return f"{joint}{field}[{at}] should only contain one of {listed}"
    return ""
