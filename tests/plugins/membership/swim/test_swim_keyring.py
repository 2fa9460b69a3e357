"""Keys in the core: how a member answers operations, and how an operation on the whole pool is counted."""

from __future__ import annotations

import base64

import pytest

from consul_kernel.contracts.errors import CipherError
from consul_kernel.contracts.membership_capabilities import KeyOperation, KeyringOutcome
from consul_kernel.contracts.transport import Address
from consul_kernel.testing.membership_world import KeyedCipher
from consul_kernel_swim.core.internal_messages import KeyRequest, KeyResponse, decode_key_response
from consul_kernel_swim.core.internal_queries import KEY_QUERIES
from consul_kernel_swim.core.keyring import Keyring
from consul_kernel_swim.core.query_messages import Query, QueryResponse
from plugins.membership.swim.serf_bench import SerfBench

ASKER = Address("10.0.0.9", 7946)
OLD, NEW, THIRD = (bytes([number]) * 32 for number in (1, 2, 3))
INSTALL, USE, REMOVE, LIST = KeyOperation.INSTALL, KeyOperation.USE, KeyOperation.REMOVE, KeyOperation.LIST


class FullDisk(KeyedCipher):
    """A ring that cannot be written."""

    def install(self, key: bytes) -> None:
        raise CipherError("the keyring cannot be written: no space left on device")


def text(key: bytes) -> str:
    return base64.b64encode(key).decode()


def answer_to(bench: SerfBench, operation: KeyOperation, payload: bytes | None, number: int = 77) -> KeyResponse:
    """What the agent answers to an operation."""
    query = Query(
        lamport_time=9,
        query_id=number,
        name=KEY_QUERIES[operation],
        payload=payload,
        reply_to=ASKER,
        source="asker",
        timeout_ns=10**9,
    )
    bench.receive(query.encode())
    response = bench.serf_sent(ASKER)[-1]
    assert isinstance(response, QueryResponse)
    assert response.query_id == number
    return decode_key_response(response.payload or b"")


# --- a member's answers ---


def test_operations_change_the_ring_in_the_same_step() -> None:
    cipher = KeyedCipher(OLD)
    bench = SerfBench(keyring=Keyring(cipher))
    steps = (
        (INSTALL, NEW, [OLD, NEW]),
        (INSTALL, NEW, [OLD, NEW]),
        (USE, NEW, [NEW, OLD]),
        (REMOVE, OLD, [NEW]),
        (REMOVE, THIRD, [NEW]),
    )
    for number, (operation, key, ring) in enumerate(steps):
        assert answer_to(bench, operation, KeyRequest(key).encode(), number) == KeyResponse(True)
        assert list(cipher.keys()) == ring
    assert answer_to(bench, LIST, KeyRequest(None).encode()) == KeyResponse(True, "", (text(NEW),), text(NEW))
    assert answer_to(bench, LIST, None, 78).result


@pytest.mark.parametrize(
    ("operation", "key", "message"),
    [
        (USE, THIRD, "Requested key is not in the keyring"),
        (REMOVE, OLD, "Removing the primary key is not allowed"),
        (INSTALL, b"short", "key size must be 16, 24 or 32 bytes"),
    ],
)
def test_refusal_is_told_and_changes_nothing(operation: KeyOperation, key: bytes, message: str) -> None:
    cipher = KeyedCipher(OLD, NEW)
    bench = SerfBench(keyring=Keyring(cipher))
    assert answer_to(bench, operation, KeyRequest(key).encode()) == KeyResponse(False, message)
    assert list(cipher.keys()) == [OLD, NEW]


def test_ring_that_cannot_be_kept_says_so() -> None:
    bench = SerfBench(keyring=Keyring(FullDisk(OLD)))
    response = answer_to(bench, INSTALL, KeyRequest(NEW).encode())
    assert response == KeyResponse(False, "the keyring cannot be written: no space left on device")


@pytest.mark.parametrize("payload", [None, b"", b"\x07", b"\x08\x81\xa3Key\xa0", b"\x07\x81\xa3Key\x05"])
def test_request_that_cannot_be_read_is_refused(payload: bytes | None) -> None:
    cipher = KeyedCipher(OLD)
    response = answer_to(SerfBench(keyring=Keyring(cipher)), INSTALL, payload)
    assert not response.result
    assert response.message.startswith("the key request cannot be read: ")
    assert list(cipher.keys()) == [OLD]


def test_without_a_cipher_serfs_texts_say_so() -> None:
    bench = SerfBench()
    for number, operation in enumerate((INSTALL, USE, REMOVE)):
        response = answer_to(bench, operation, KeyRequest(OLD).encode(), number)
        assert response == KeyResponse(False, "No keyring to modify (encryption not enabled)")
    assert answer_to(bench, LIST, None) == KeyResponse(False, "Keyring is empty (encryption not enabled)")


def test_while_encryption_is_introduced_no_stranger_gets_at_the_keys() -> None:
    cipher = KeyedCipher(OLD)
    accepting = SerfBench(keyring=Keyring(cipher, is_guarded=False))
    for number, operation in enumerate((INSTALL, USE, REMOVE)):
        assert (
            "while gossip that is not sealed is accepted"
            in answer_to(accepting, operation, KeyRequest(NEW).encode(), number).message
        )
    assert answer_to(accepting, LIST, None).result
    telling = SerfBench(keyring=Keyring(cipher, is_hidden=False))
    assert answer_to(telling, LIST, None) == KeyResponse(
        False, "The keyring is not shown while gossip is sent unsealed"
    )
    assert list(cipher.keys()) == [OLD]


@pytest.mark.parametrize(("count", "length", "shown"), [(17, 32, 17), (30, 32, 17), (41, 16, 34), (64, 16, 34)])
def test_long_list_is_cut_to_the_limit_of_an_answer(count: int, length: int, shown: int) -> None:
    ring = [bytes([number]) * length for number in range(1, count + 1)]
    bench = SerfBench(keyring=Keyring(KeyedCipher(*ring)))
    response = answer_to(bench, LIST, None)
    assert response.result
    assert list(response.keys or ()) == [text(key) for key in ring[:shown]]
    assert response.primary_key == text(ring[0])
    cut = f"truncated key list response, showing first {shown} of {count} keys"
    assert response.message == (cut if shown < count else "")
    size = len(bench.serf_sent(ASKER)[-1].encode())
    assert size <= 1024
    if shown < count:
        assert size + len(text(ring[0])) + 1 > 1024, "one more had fitted"


# --- operations on the whole pool ---


class Pool:
    """`own`, and others that a test answers for."""

    def __init__(self, *others: str, cipher: KeyedCipher | None = None) -> None:
        self.cipher = cipher or KeyedCipher(OLD, NEW)
        self.bench = SerfBench(keyring=Keyring(self.cipher))
        self.others = others
        self.answered = 0
        for number, name in enumerate(others, 1):
            self.bench.add(name, number)

    def answer(self, operation: KeyOperation, **responses: KeyResponse | bytes) -> None:
        """Answer the next query for these members."""
        self.bench.wait(1000)
        query = self.bench.asked()[self.answered]
        self.answered += 1
        assert query.name == KEY_QUERIES[operation]
        for name, response in responses.items():
            self.bench.respond(query, name, response if isinstance(response, bytes) else response.encode())


def listed(*keys: bytes, message: str = "") -> KeyResponse:
    return KeyResponse(True, message, tuple(map(text, keys)), text(keys[0]))


def test_list_counts_keys_over_the_pool() -> None:
    pool = Pool("a", "b")
    command = pool.bench.operate(LIST)
    pool.answer(LIST, a=listed(NEW, OLD), b=listed(OLD, message="truncated"))
    assert pool.bench.keyring_outcome(command) == KeyringOutcome(
        members=3,
        responses=3,
        failures=0,
        messages={"b": "truncated"},
        keys={OLD: 3, NEW: 2},
        primary_keys={OLD: 2, NEW: 1},
        error="",
    )


def test_absent_answers_and_failures_are_told_in_serfs_texts() -> None:
    pool = Pool("a", "b")
    command = pool.bench.operate(INSTALL, THIRD)
    pool.answer(INSTALL, a=KeyResponse(True))
    assert pool.bench.done(command) is None
    pool.bench.wait(3200)
    outcome = pool.bench.keyring_outcome(command)
    assert (outcome.error, outcome.messages) == ("2/3 nodes reported success", {"b": "no answer"})
    command = pool.bench.operate(INSTALL, THIRD)
    pool.answer(INSTALL, a=KeyResponse(False, "no"), b=b"\x05nonsense")
    outcome = pool.bench.keyring_outcome(command)
    assert (outcome.error, outcome.failures) == ("2/3 nodes reported failure", 2)
    assert outcome.messages["a"] == "no"
    assert outcome.messages["b"].startswith("Failed to decode key query response: ")
    command = pool.bench.operate(LIST)
    pool.answer(LIST, a=KeyResponse(True, "", ("not base64!",)), b=listed(OLD))
    assert pool.bench.keyring_outcome(command).failures == 1


def test_key_that_a_member_lacks_is_used_by_nobody() -> None:
    pool = Pool("a", "b")
    command = pool.bench.operate(USE, NEW)
    pool.answer(LIST, a=listed(OLD, NEW), b=listed(OLD))
    outcome = pool.bench.keyring_outcome(command)
    assert (outcome.error, outcome.messages) == (
        "1/3 nodes reported failure",
        {"b": "Requested key is not in the keyring"},
    )
    assert list(pool.cipher.keys()) == [OLD, NEW]
    pool.bench.wait(5000)
    assert len(pool.bench.asked()) == 1


def test_key_that_everybody_has_is_used_by_all() -> None:
    pool = Pool("a", "b")
    command = pool.bench.operate(USE, NEW)
    pool.answer(LIST, a=listed(OLD, NEW), b=listed(OLD, message="truncated key list response"))
    pool.answer(USE, a=KeyResponse(True), b=KeyResponse(True))
    assert pool.bench.keyring_outcome(command).error == ""
    assert list(pool.cipher.keys()) == [NEW, OLD]


def test_member_that_does_not_answer_holds_nobody_up_for_ever() -> None:
    pool = Pool("a", "b")
    command = pool.bench.operate(USE, NEW)
    pool.answer(LIST, a=listed(OLD, NEW))
    pool.bench.wait(3000)
    pool.answer(USE, a=KeyResponse(True))
    pool.bench.wait(3000)
    assert pool.bench.keyring_outcome(command).error == "2/3 nodes reported success"


def test_key_that_a_member_seals_with_is_removed_by_nobody() -> None:
    pool = Pool("a", "b")
    command = pool.bench.operate(REMOVE, NEW)
    pool.answer(LIST, a=listed(NEW, OLD), b=listed(OLD))
    outcome = pool.bench.keyring_outcome(command)
    assert (outcome.error, outcome.messages) == (
        "1/3 nodes reported failure",
        {"a": "Removing the primary key is not allowed"},
    )
    assert list(pool.cipher.keys()) == [OLD, NEW]


def test_removal_waits_for_packets_that_are_still_under_way() -> None:
    pool = Pool("a")
    command = pool.bench.operate(REMOVE, NEW)
    pool.answer(LIST, a=listed(OLD, NEW))
    pool.bench.wait(999)
    assert list(pool.cipher.keys()) == [OLD, NEW]
    pool.bench.wait(1)
    assert list(pool.cipher.keys()) == [OLD]
    pool.answer(REMOVE, a=KeyResponse(True))
    assert pool.bench.keyring_outcome(command).error == ""


def test_request_carries_the_raw_key() -> None:
    pool = Pool("a")
    pool.bench.operate(INSTALL, THIRD)
    pool.bench.wait(1000)
    (query,) = pool.bench.asked()
    assert query.payload == b"\x07\x81\xa3Key\xda\x00\x20" + THIRD
