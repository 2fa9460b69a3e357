"""What a real Consul 1.10.11 sent, and was sent, for sessions and transactions: read as meant, written to the octet."""

from __future__ import annotations

from typing import Any

import pytest

from consul_kernel.rpc.wire import decode, encode
from consul_kernel.structs.methods import METHODS

VECTORS: dict[str, tuple[str, bool, str]] = {
    "session_apply_create_request": (
        "Session.Apply",
        True,
        (
            "83aa4461746163656e746572a3646331a24f70a6637265617465a753657373696f6e85a44e6f6465ab7265616c2d636f"
            "6e73756ca44e616d65a173a354544ca3313573a94c6f636b44656c6179cf000000037e11d600a6436865636b7391aa73"
            "6572664865616c7468"
        ),
    ),
    "session_list_response": (
        "Session.List",
        False,
        (
            "87a74261636b656e6400b0436f6e73697374656e63794c6576656ca0a5496e6465780cab4b6e6f776e4c6561646572c3"
            "ab4c617374436f6e7461637400ab4e6f744d6f646966696564c2a853657373696f6e73918ba84265686176696f72a772"
            "656c65617365a6436865636b7391aa736572664865616c7468ab437265617465496e6465780ca24944da002437393531"
            "653439362d383731622d316564382d643334312d613062313331326130643030a94c6f636b44656c6179cf000000037e"
            "11d600ab4d6f64696679496e6465780ca44e616d65a173a44e6f6465ab7265616c2d636f6e73756caa4e6f6465436865"
            "636b73c0ad53657276696365436865636b73c0a354544ca3313573"
        ),
    ),
    "session_renew_request": (
        "Session.Renew",
        True,
        (
            "83aa4461746163656e746572a3646331a753657373696f6eda002437393531653439362d383731622d316564382d6433"
            "34312d613062313331326130643030a953657373696f6e4944da002437393531653439362d383731622d316564382d64"
            "3334312d613062313331326130643030"
        ),
    ),
    "txn_apply_request": (
        "Txn.Apply",
        True,
        (
            "82aa4461746163656e746572a3646331a34f70739281a24b5682a456657262a3736574a6446972456e7482a34b6579a2"
            "7431a556616c7565a13181a24b5682a456657262a3676574a6446972456e7481a34b6579a3612f62"
        ),
    ),
    "txn_apply_response": (
        "Txn.Apply",
        False,
        (
            "82a64572726f7273c0a7526573756c74739284a5436865636bc0a24b5687ab437265617465496e6465780ea5466c6167"
            "7300a34b6579a27431a94c6f636b496e64657800ab4d6f64696679496e6465780ea753657373696f6ea0a556616c7565"
            "c0a44e6f6465c0a753657276696365c084a5436865636bc0a24b5687ab437265617465496e6465780aa5466c61677307"
            "a34b6579a3612f62a94c6f636b496e64657800ab4d6f64696679496e6465780aa753657373696f6ea0a556616c7565a7"
            "00ff76616c7565a44e6f6465c0a753657276696365c0"
        ),
    ),
    "txn_apply_fail_response": (
        "Txn.Apply",
        False,
        (
            "82a64572726f72739182a74f70496e64657800a457686174bb6b657920226d697373696e672220646f65736e27742065"
            "78697374a7526573756c7473c0"
        ),
    ),
    "txn_read_request": (
        "Txn.Read",
        True,
        (
            "82aa4461746163656e746572a3646331a34f70739181a24b5682a456657262a86765742d74726565a6446972456e7481"
            "a34b6579a2612f"
        ),
    ),
    "txn_read_response": (
        "Txn.Read",
        False,
        (
            "88a74261636b656e6400b0436f6e73697374656e63794c6576656ca0a64572726f7273c0a5496e64657801ab4b6e6f77"
            "6e4c6561646572c3ab4c617374436f6e7461637400ab4e6f744d6f646966696564c2a7526573756c74739184a5436865"
            "636bc0a24b5687ab437265617465496e6465780aa5466c61677307a34b6579a3612f62a94c6f636b496e64657800ab4d"
            "6f64696679496e6465780aa753657373696f6ea0a556616c7565a700ff76616c7565a44e6f6465c0a753657276696365"
            "c0"
        ),
    ),
}
"""Method, whether it is the request, and the message after its header."""


def read(name: str) -> Any:
    method, is_request, message = VECTORS[name]
    known = METHODS[method]
    return decode(known.request if is_request else known.reply, bytes.fromhex(message))


@pytest.mark.parametrize("name", [name for name, (_, is_request, _) in VECTORS.items() if not is_request])
def test_replies_are_written_as_consul_writes_them(name: str) -> None:
    assert encode(read(name)).hex() == VECTORS[name][2]


def test_requests_are_read_as_they_were_meant() -> None:
    """They were made with fewer fields than Go writes; what is left out has its default."""
    created = read("session_apply_create_request")
    assert (created.op, created.session.name, created.session.lock_delay) == ("create", "s", 15_000_000_000)
    assert (created.session.checks, created.session.node_checks) == (["serfHealth"], None)
    renewed = read("session_renew_request")
    assert renewed.session_id == renewed.session == "7951e496-871b-1ed8-d341-a0b1312a0d00"
    ops = read("txn_apply_request").ops
    assert [(op.kv.verb, op.kv.dir_ent.key, op.kv.dir_ent.value) for op in ops] == [
        ("set", b"t1", b"1"),
        ("get", b"a/b", None),
    ]
    tree = read("txn_read_request").ops[0]
    assert (tree.kv.verb, tree.kv.dir_ent.key, tree.node, tree.session) == ("get-tree", b"a/", None, None)
