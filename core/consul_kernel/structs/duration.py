"""Durations as Go writes them: `10s`, `1h30m`, `1.5s` (Go's `time.ParseDuration` and `Duration.String`).

A duration is a whole number of nanoseconds within 64 bits, as on Consul's wire.
"""

from __future__ import annotations

NANOSECOND = 1
MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

MAX_DURATION_NS = (1 << 63) - 1

_UNITS = {
    "ns": NANOSECOND,
    "us": MICROSECOND,
    "µs": MICROSECOND,  # U+00B5, the micro sign
    "μs": MICROSECOND,  # U+03BC, the Greek letter
    "ms": MILLISECOND,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
}
_DIGITS = frozenset("0123456789")
_UNIT_ENDS = _DIGITS | {"."}


class DurationError(ValueError):
    """Text that is no duration. The message is Go's."""


def parse_duration_ns(text: str) -> int:
    """Nanoseconds of a duration such as `10s`, `-1.5h` or `1m30s`; `0` needs no unit.

    Raises DurationError with Go's message for anything else, and for what does not fit 64 bits.
    """
    rest = text
    negative = rest.startswith("-")
    if rest[:1] in {"-", "+"}:
        rest = rest[1:]
    if rest == "0":
        return 0
    if not rest:
        raise _invalid(text)
    total = 0
    while rest:
        part_ns, rest = _parse_part(rest, text)
        total += part_ns
        if total > MAX_DURATION_NS + negative:
            raise _invalid(text)
    return -total if negative else total


def _parse_part(rest: str, text: str) -> tuple[int, str]:
    """The first number with its unit, in nanoseconds, and what follows it."""
    whole, rest = _leading(rest, _DIGITS)
    fraction = ""
    if rest.startswith("."):
        fraction, rest = _leading(rest[1:], _DIGITS)
    if not whole and not fraction:
        raise _invalid(text)
    unit_name = rest
    for position, char in enumerate(rest):
        if char in _UNIT_ENDS:
            unit_name = rest[:position]
            break
    if not unit_name:
        raise DurationError(f"time: missing unit in duration {quote(text)}")
    unit = _UNITS.get(unit_name)
    if unit is None:
        raise DurationError(f"time: unknown unit {quote(unit_name)} in duration {quote(text)}")
    if len(whole) > 40:  # far beyond 64 bits; spares int() a long text
        raise _invalid(text)
    # Digits beyond the 19th of a fraction are below a nanosecond in every unit.
    fraction = fraction[:19]
    fraction_ns = int(fraction or "0") * unit // 10 ** len(fraction)
    return int(whole or "0") * unit + fraction_ns, rest[len(unit_name) :]


def _leading(text: str, chars: frozenset[str]) -> tuple[str, str]:
    end = 0
    while end < len(text) and text[end] in chars:
        end += 1
    return text[:end], text[end:]


def _invalid(text: str) -> DurationError:
    return DurationError(f"time: invalid duration {quote(text)}")


def quote(text: str) -> str:
    """Text in double quotes with what is not printable ASCII escaped, as Go's package time does."""
    parts = []
    for char in text:
        if char in {'"', "\\"}:
            parts.append("\\" + char)
        elif " " <= char < "\x7f":
            parts.append(char)
        else:
            parts.extend(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))
    return f'"{"".join(parts)}"'


def format_duration_ns(ns: int) -> str:
    """A duration as Go prints it: `0s`, `1.5ms`, `10s`, `1h30m0s`."""
    sign = "-" if ns < 0 else ""
    ns = abs(ns)
    if ns == 0:
        return "0s"
    if ns < MICROSECOND:
        return f"{sign}{ns}ns"
    if ns < MILLISECOND:
        return f"{sign}{_decimal(ns, MICROSECOND)}µs"
    if ns < SECOND:
        return f"{sign}{_decimal(ns, MILLISECOND)}ms"
    minutes, seconds_ns = divmod(ns, MINUTE)
    text = f"{_decimal(seconds_ns, SECOND)}s"
    if minutes:
        hours, minutes = divmod(minutes, 60)
        text = f"{minutes}m{text}"
        if hours:
            text = f"{hours}h{text}"
    return sign + text


def _decimal(ns: int, unit: int) -> str:
    """A number of units with as many decimals as it needs."""
    whole, rest = divmod(ns, unit)
    if not rest:
        return str(whole)
    digits = str(rest).rjust(len(str(unit)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}"
