from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kernel.contracts.errors import RequestError
from consul_kernel.state.keys import after_prefix, pack, pack_index, unpack, unpack_index

octets = st.binary(max_size=8) | st.sampled_from([b"\x00", b"\x00\x01", b"\x00\xff", b"\xff", b"a\x00b"])


@given(st.lists(octets, max_size=4))
def test_a_key_unpacks_to_what_was_packed(components: list[bytes]) -> None:
    assert list(unpack(pack(*components))) == components


@given(st.lists(octets, max_size=4), st.lists(octets, max_size=4))
def test_keys_order_as_their_tuples_do(one: list[bytes], other: list[bytes]) -> None:
    assert (pack(*one) < pack(*other)) == (one < other)


@given(octets, octets)
def test_a_part_is_a_prefix_of_nothing_else(one: bytes, other: bytes) -> None:
    assert pack(other, b"x").startswith(pack(one)) == (one == other)


@given(st.binary(max_size=6), st.binary(max_size=6))
def test_after_prefix_bounds_exactly_what_begins_with_it(prefix: bytes, key: bytes) -> None:
    stop = after_prefix(prefix)
    assert (key >= prefix and (stop is None or key < stop)) == key.startswith(prefix)


def test_names_that_the_store_could_not_hold_are_refused() -> None:
    with pytest.raises(RequestError, match="too long"):
        pack("n" * 1600)


def test_a_damaged_key_is_noticed() -> None:
    with pytest.raises(ValueError, match="not a packed key"):
        unpack(b"abc")


@given(st.integers(0, 2**64 - 1))
def test_indexes_keep_their_value(index: int) -> None:
    assert unpack_index(pack_index(index)) == index
