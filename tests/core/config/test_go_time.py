"""Moments in Go's binary form and in RFC 3339."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kernel.structs.go_time import pack_time, show_time, unpack_time

OF_A_REAL_CONSUL = bytes.fromhex("010000000ee295d1173927cc310000")
"""From the health that a Consul 1.10.11 told of itself; its zone is UTC with an offset of 0."""


def test_what_go_wrote_is_read() -> None:
    assert unpack_time(OF_A_REAL_CONSUL) == pytest.approx(1_785_000_000_000_000_000, rel=0.2)
    assert pack_time(unpack_time(OF_A_REAL_CONSUL))[:13] == OF_A_REAL_CONSUL[:13]


@pytest.mark.parametrize(
    ("unix_ns", "shown"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_488_838_071_123_400_000, "2017-03-06T22:07:51.1234Z"),
        (1_488_838_071_000_000_001, "2017-03-06T22:07:51.000000001Z"),
        (-1_000_000_000, "1969-12-31T23:59:59Z"),
    ],
)
def test_moments_are_shown_as_go_shows_them(unix_ns: int, shown: str) -> None:
    assert show_time(unix_ns) == shown


@given(st.integers(-(10**18), 4 * 10**18))
def test_a_moment_comes_back(unix_ns: int) -> None:
    assert unpack_time(pack_time(unix_ns)) == unix_ns


@pytest.mark.parametrize("packed", [b"", bytes(15), b"\x01" + bytes(13), b"\x02" + bytes(14)])
def test_other_bytes_are_no_moment(packed: bytes) -> None:
    with pytest.raises(ValueError, match="not a moment"):
        unpack_time(packed)
