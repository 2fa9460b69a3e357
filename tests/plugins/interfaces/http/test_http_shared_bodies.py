"""Bodies that many ask for are encoded once, and never shown for anything else."""

from __future__ import annotations

from consul_kernel_http.shared_bodies import SharedBodies


class Encoder:
    """Counts how often it encodes."""

    def __init__(self, body: bytes = b"body") -> None:
        self.body = body
        self.count = 0

    def __call__(self) -> bytes:
        self.count += 1
        return self.body


def test_the_same_list_is_encoded_once_in_each_form() -> None:
    bodies, encoder, records = SharedBodies(), Encoder(), ["a"]
    for _ in range(3):
        assert bodies.body(records, "all", encoder) == b"body"
    bodies.body(records, "passing", encoder)
    assert encoder.count == 2


def test_an_equal_list_is_another() -> None:
    bodies = SharedBodies()
    assert bodies.body(["a"], "all", Encoder(b"first")) == b"first"
    assert bodies.body(["a"], "all", Encoder(b"second")) == b"second"


def test_a_list_is_held_while_its_body_is() -> None:
    bodies = SharedBodies()
    for number in range(1000):
        assert bodies.body([number], "all", Encoder(b"%d" % number)) == b"%d" % number


def test_it_is_bounded_by_number() -> None:
    bodies, encoder = SharedBodies(max_bodies=2), Encoder()
    first, second, third = ["1"], ["2"], ["3"]
    for records in (first, second, first, third):
        bodies.body(records, "all", encoder)
    assert encoder.count == 3
    bodies.body(first, "all", encoder)
    assert encoder.count == 3, "asked for last but one"
    bodies.body(second, "all", encoder)
    assert encoder.count == 4, "asked for longest ago"


def test_it_is_bounded_by_octets() -> None:
    bodies, large = SharedBodies(max_octets=800), Encoder(b"x" * 100)
    lists = [[number] for number in range(9)]
    for records in lists:
        bodies.body(records, "all", large)
    bodies.body(lists[0], "all", large)
    assert large.count == 10
    huge = Encoder(b"x" * 101)
    for _ in range(2):
        bodies.body(["huge"], "all", huge)
    assert huge.count == 2
