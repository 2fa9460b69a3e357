"""Base64 is read as Go reads it, and refused at the offset that Go names."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.go_base64 import decode_base64


@pytest.mark.parametrize("text", ["", "\n", "AA==", "AAA=", "AAA=\n", "AAAA\n", "A\r\nA\n=\n=\n", "AB==", "+/+/"])
def test_whole_texts_are_read(text: str) -> None:
    assert decode_base64(text) == base64.b64decode(text)


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("!!!!", 0),
        ("====", 0),
        ("x===", 1),
        ("=AAA", 0),
        ("A=AA", 1),
        ("AA=A", 2),
        ("AA==A", 4),
        ("AAA=AAAA", 4),
        ("AAAAA", 4),
        ("AAAAAA", 4),
        ("A=", 1),
        ("A==", 1),
        ("AA=", 3),
        ("AAAA==", 4),
        ("AAAAAA=", 7),
        ("YWJjZA=====", 8),
        ("A!\n", 1),
        ("A=\n", 1),
        ("short", 4),
        ("AAA_", 3),
        ("é", 0),
        ("\ud800AAA", 0),
    ],
)
def test_faults_are_told_with_their_offset(text: str, offset: int) -> None:
    """Go's own cases (encoding/base64, TestDecodeCorrupt) and a few more."""
    with pytest.raises(RequestError, match=rf"^illegal base64 data at input byte {offset}$"):
        decode_base64(text)


@given(st.binary(max_size=60), st.integers(1, 80))
def test_round_trip_with_and_without_line_breaks(octets: bytes, width: int) -> None:
    text = base64.b64encode(octets).decode()
    assert decode_base64(text) == octets
    assert decode_base64("\r\n".join(text[at : at + width] for at in range(0, len(text), width))) == octets


@given(st.text(st.sampled_from("AZaz09+/==\n !é"), max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        octets = decode_base64(text)
    except RequestError as error:
        offset = int(str(error).rsplit(" ", 1)[1])
        assert 0 <= offset <= len(text.encode())
    else:
        assert base64.b64encode(octets)[:-4] == text.replace("\n", "").encode()[:-4]
