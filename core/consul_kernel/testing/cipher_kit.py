"""Checks that every cipher passes, by the numbered clauses of docs/contracts/cipher.md.

Each check is a function of `make_cipher`, which makes a cipher from a primary key of 32 bytes. A plugin's suite
subclasses `CipherContractTests` and gives it a fixture `make_cipher`.
"""

from __future__ import annotations

from collections.abc import Callable

from consul_kernel.contracts.cipher import Cipher
from consul_kernel.contracts.errors import CipherError

from .clauses import ClauseError, require

MakeCipher = Callable[[bytes], Cipher]

KEYS = tuple(bytes([number]) * 32 for number in range(1, 5))
MESSAGES = (b"", b"x", bytes(range(256)) * 5, b"z" * 100_000)


def require_refusal(action: Callable[[], object], clause: str) -> None:
    """Raise `ClauseError` unless the action raises CipherError."""
    try:
        action()
    except CipherError:
        return
    raise ClauseError(clause)


def check_1_1_what_is_sealed_opens(make_cipher: MakeCipher) -> None:
    """1.1: any message, empty or long, opens with the key and associated data that sealed it."""
    cipher, other = make_cipher(KEYS[0]), make_cipher(KEYS[0])
    for message in MESSAGES:
        for associated in (b"", b"label"):
            sealed = cipher.seal(message, associated)
            require(other.open(sealed, associated) == message, f"1.1: {len(message)} bytes came back different")


def check_1_2_overhead_is_an_upper_bound(make_cipher: MakeCipher) -> None:
    """1.2: a sealed message is at most `overhead` longer than its plaintext."""
    cipher = make_cipher(KEYS[0])
    for message in MESSAGES:
        for associated in (b"", b"label" * 50):
            longer = len(cipher.seal(message, associated)) - len(message)
            require(longer <= cipher.overhead, f"1.2: {longer} bytes longer than the plaintext")


def check_1_3_sealing_twice_gives_different_bytes(make_cipher: MakeCipher) -> None:
    """1.3: equal messages cannot be told from their sealed forms, and the plaintext does not show."""
    cipher = make_cipher(KEYS[0])
    sealed = {cipher.seal(b"the same secret") for _ in range(20)}
    require(len(sealed) == 20, "1.3: two sealed forms are equal")
    require(not any(b"secret" in one for one in sealed), "1.3: the plaintext shows")


def check_2_1_any_changed_byte_is_refused(make_cipher: MakeCipher) -> None:
    """2.1: CipherError for every bit flipped, every byte cut off, and for bytes that were never sealed."""
    cipher = make_cipher(KEYS[0])
    sealed = cipher.seal(b"message")
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        require_refusal(lambda broken=bytes(changed): cipher.open(broken), f"2.1: byte {position} may change")  # type: ignore[misc]
        require_refusal(lambda short=sealed[:position]: cipher.open(short), f"2.1: cut at {position} passes")  # type: ignore[misc]
    require_refusal(lambda: cipher.open(sealed + b"\0"), "2.1: a byte more passes")
    require_refusal(lambda: cipher.open(b"plaintext that nobody sealed" * 10), "2.1: plaintext passes")


def check_2_2_associated_data_must_match(make_cipher: MakeCipher) -> None:
    """2.2: CipherError where the associated data is another, missing or added."""
    cipher = make_cipher(KEYS[0])
    for at_seal, at_open in ((b"a", b"b"), (b"a", b""), (b"", b"a"), (b"ab", b"a")):
        sealed = cipher.seal(b"message", at_seal)
        require_refusal(lambda s=sealed, a=at_open: cipher.open(s, a), f"2.2: {at_seal!r} opens as {at_open!r}")  # type: ignore[misc]


def check_2_3_another_key_is_refused(make_cipher: MakeCipher) -> None:
    """2.3: CipherError when no key of the ring sealed it."""
    sealed = make_cipher(KEYS[0]).seal(b"message")
    require_refusal(lambda: make_cipher(KEYS[1]).open(sealed), "2.3: another key opens it")


def check_3_1_every_key_opens_and_the_primary_seals(make_cipher: MakeCipher) -> None:
    """3.1: `install` lets a key open, `use` lets it seal; keys lists the primary first."""
    cipher, old, new = make_cipher(KEYS[0]), make_cipher(KEYS[0]), make_cipher(KEYS[1])
    cipher.install(KEYS[1])
    cipher.install(KEYS[1])
    require(list(cipher.keys()) == [KEYS[0], KEYS[1]], "3.1: ring after install")
    require(cipher.open(new.seal(b"by the new key")) == b"by the new key", "3.1: an installed key opens")
    require(old.open(cipher.seal(b"by the old key")) == b"by the old key", "3.1: install alone changes nothing")
    cipher.use(KEYS[1])
    require(list(cipher.keys()) == [KEYS[1], KEYS[0]], "3.1: ring after use")
    require(new.open(cipher.seal(b"by the new key")) == b"by the new key", "3.1: the primary seals")
    require(cipher.open(old.seal(b"late")) == b"late", "3.1: the old key still opens")


def check_3_2_a_removed_key_opens_no_more(make_cipher: MakeCipher) -> None:
    """3.2: after `remove` a key opens nothing; removing an unknown key is no error."""
    cipher = make_cipher(KEYS[0])
    cipher.install(KEYS[1])
    cipher.remove(KEYS[1])
    cipher.remove(KEYS[2])
    sealed = make_cipher(KEYS[1]).seal(b"message")
    require_refusal(lambda: cipher.open(sealed), "3.2: a removed key opens")
    require(list(cipher.keys()) == [KEYS[0]], "3.2: ring after remove")


def check_3_3_what_would_break_the_ring_is_refused(make_cipher: MakeCipher) -> None:
    """3.3: CipherError for removing the primary, using an unknown key, installing a key of no legal length."""
    cipher = make_cipher(KEYS[0])
    require_refusal(lambda: cipher.remove(KEYS[0]), "3.3: the primary can be removed")
    require_refusal(lambda: cipher.use(KEYS[1]), "3.3: an unknown key can be used")
    for length in (0, 1, 31, 33, 64):
        require_refusal(lambda size=length: cipher.install(bytes(size)), f"3.3: {length} bytes make a key")  # type: ignore[misc]
    require(list(cipher.keys()) == [KEYS[0]], "3.3: a refused change changed the ring")


CHECKS: tuple[Callable[[MakeCipher], None], ...] = tuple(
    value for name, value in sorted(globals().items()) if name.startswith("check_")
)
"""Every check, in the order of the clauses."""


class CipherContractTests:
    """Base of a plugin's suite. The subclass defines a fixture `make_cipher`."""

    def test_1_1(self, make_cipher: MakeCipher) -> None:
        check_1_1_what_is_sealed_opens(make_cipher)

    def test_1_2(self, make_cipher: MakeCipher) -> None:
        check_1_2_overhead_is_an_upper_bound(make_cipher)

    def test_1_3(self, make_cipher: MakeCipher) -> None:
        check_1_3_sealing_twice_gives_different_bytes(make_cipher)

    def test_2_1(self, make_cipher: MakeCipher) -> None:
        check_2_1_any_changed_byte_is_refused(make_cipher)

    def test_2_2(self, make_cipher: MakeCipher) -> None:
        check_2_2_associated_data_must_match(make_cipher)

    def test_2_3(self, make_cipher: MakeCipher) -> None:
        check_2_3_another_key_is_refused(make_cipher)

    def test_3_1(self, make_cipher: MakeCipher) -> None:
        check_3_1_every_key_opens_and_the_primary_seals(make_cipher)

    def test_3_2(self, make_cipher: MakeCipher) -> None:
        check_3_2_a_removed_key_opens_no_more(make_cipher)

    def test_3_3(self, make_cipher: MakeCipher) -> None:
        check_3_3_what_would_break_the_ring_is_refused(make_cipher)
