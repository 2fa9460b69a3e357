"""Go's duration syntax, both ways."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consul_kernel.structs.duration import (
    HOUR,
    MAX_DURATION_NS,
    MILLISECOND,
    MINUTE,
    SECOND,
    DurationError,
    format_duration_ns,
    parse_duration_ns,
)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0", 0),
        ("-0", 0),
        ("0s", 0),
        ("10s", 10 * SECOND),
        ("+5s", 5 * SECOND),
        ("-1.5h", -90 * MINUTE),
        ("1h30m", 90 * MINUTE),
        ("1.5s", 1500 * MILLISECOND),
        (".5s", 500 * MILLISECOND),
        ("5.s", 5 * SECOND),
        ("100ms", 100 * MILLISECOND),
        ("12us", 12_000),
        ("12µs", 12_000),
        ("12μs", 12_000),
        ("3ns", 3),
        ("1.9ns", 1),
        ("87600h", 87600 * HOUR),
        ("39h9m14.425s", 39 * HOUR + 9 * MINUTE + 14_425 * MILLISECOND),
        ("0.3333333333333333333333h", 1_199_999_999_999),
        ("9223372036854775807ns", MAX_DURATION_NS),
        ("-9223372036854775808ns", -MAX_DURATION_NS - 1),
    ],
)
def test_parses_what_go_parses(text: str, ns: int) -> None:
    assert parse_duration_ns(text) == ns


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("-", 'time: invalid duration "-"'),
        ("soon", 'time: invalid duration "soon"'),
        ("s", 'time: invalid duration "s"'),
        (".s", 'time: invalid duration ".s"'),
        ("10", 'time: missing unit in duration "10"'),
        ("1h30", 'time: missing unit in duration "1h30"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("10 s", 'time: unknown unit " s" in duration "10 s"'),
        ("10S", 'time: unknown unit "S" in duration "10S"'),
        ("9223372036854775808ns", 'time: invalid duration "9223372036854775808ns"'),
        ("3000000h", 'time: invalid duration "3000000h"'),
        ('"1s"', 'time: invalid duration "\\"1s\\""'),
        ("٣s", 'time: invalid duration "\\xd9\\xa3s"'),
    ],
)
def test_refuses_with_gos_words(text: str, message: str) -> None:
    with pytest.raises(DurationError) as caught:
        parse_duration_ns(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (3_300_000_000, "3.3s"),
        (10 * SECOND, "10s"),
        (MINUTE, "1m0s"),
        (4 * MINUTE + 5 * SECOND, "4m5s"),
        (4 * MINUTE + 5_001 * MILLISECOND, "4m5.001s"),
        (5 * HOUR + 6 * MINUTE + 7_001 * MILLISECOND, "5h6m7.001s"),
        (72 * HOUR, "72h0m0s"),
        (-90 * MINUTE, "-1h30m0s"),
        (MAX_DURATION_NS, "2562047h47m16.854775807s"),
        (-MAX_DURATION_NS - 1, "-2562047h47m16.854775808s"),
    ],
)
def test_prints_as_go(ns: int, text: str) -> None:
    assert format_duration_ns(ns) == text


@settings(derandomize=True)
@given(st.integers(-MAX_DURATION_NS - 1, MAX_DURATION_NS))
def test_what_is_printed_is_parsed_back(ns: int) -> None:
    assert parse_duration_ns(format_duration_ns(ns)) == ns


@settings(derandomize=True)
@given(st.text(max_size=60))
def test_any_text_is_a_duration_or_a_duration_error(text: str) -> None:
    ns: int | None = None
    with contextlib.suppress(DurationError):
        ns = parse_duration_ns(text)
    assert ns is None or -MAX_DURATION_NS - 1 <= ns <= MAX_DURATION_NS
