"""Records on Consul's wire: byte for byte where Consul's own bytes are known, and whole whatever comes."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kernel.rpc.errors import WireError
from consul_kernel.rpc.wire import (
    MessageReader,
    RequestHeader,
    ResponseHeader,
    decode,
    encode,
    encode_error,
    encode_request,
    encode_response,
)
from consul_kernel.structs.autopilot import AutopilotServerHealth, AutopilotServerState, AutopilotState
from consul_kernel.structs.catalog import RegisterRequest
from consul_kernel.structs.check import HealthCheck, IndexedHealthChecks
from consul_kernel.structs.health import CheckServiceNode, IndexedCheckServiceNodes
from consul_kernel.structs.keyring import KeyringRequest, KeyringResponse, KeyringResponses
from consul_kernel.structs.kv import (
    DirEntry,
    IndexedDirEntries,
    IndexedKeyList,
    KeyListRequest,
    KeyRequest,
    KVSRequest,
)
from consul_kernel.structs.methods import INTERNAL_KEYRING_OPERATION, METHODS
from consul_kernel.structs.node import Node
from consul_kernel.structs.query import DatacenterRequest
from consul_kernel.structs.record import Empty
from consul_kernel.structs.service import NodeService, Weights

# Captured between Consul 1.10.11 and a client; first the yamux data frame's body.
KVS_APPLY_SET_REQUEST = bytes.fromhex(
    "82a353657101ad536572766963654d6574686f64a94b56532e4170706c7984aa4461746163656e746572a3646331a6446972456e7483a34b6579"
    "a3612f62a556616c7565a700ff76616c7565a5466c61677307a24f70a3736574a5546f6b656ea0"
)
KVS_GET_RESPONSE = bytes.fromhex(
    "83a54572726f72a0a353657101ad536572766963654d6574686f64a74b56532e47657487a74261636b656e6400b0436f6e73697374656e63794c"
    "6576656ca0a7456e74726965739187ab437265617465496e6465780aa5466c61677307a34b6579a3612f62a94c6f636b496e64657800ab4d6f64"
    "696679496e6465780aa753657373696f6ea0a556616c7565a700ff76616c7565a5496e6465780aab4b6e6f776e4c6561646572c3ab4c61737443"
    "6f6e7461637400ab4e6f744d6f646966696564c2"
)
STATUS_LEADER_RESPONSE = bytes.fromhex(
    "83a54572726f72a0a353657101ad536572766963654d6574686f64ad5374617475732e4c6561646572af3132372e302e302e313a3435383831"
)
STATUS_PEERS_RESPONSE = bytes.fromhex(
    "83a54572726f72a0a353657101ad536572766963654d6574686f64ac5374617475732e506565727391af3132372e302e302e313a3435383831"
)
STATUS_PING_REQUEST = bytes.fromhex("82a353657101ad536572766963654d6574686f64ab5374617475732e50696e6780")
KEYRING_LIST_REQUEST = bytes.fromhex(
    "82a353657101ad536572766963654d6574686f64b9496e7465726e616c2e4b657972696e674f7065726174696f6e82aa4461746163656e746572"
    "a3646331a94f7065726174696f6ea46c697374"
)
KEYRING_LIST_RESPONSE = bytes.fromhex(
    "83a54572726f72a0a353657101ad536572766963654d6574686f64b9496e7465726e616c2e4b657972696e674f7065726174696f6e87a742"
    "61636b656e6400b0436f6e73697374656e63794c6576656ca0a5496e64657800ab4b6e6f776e4c6561646572c2ab4c617374436f6e746163"
    "7400ab4e6f744d6f646966696564c2a9526573706f6e7365739288aa4461746163656e746572a3646331a54572726f72ba312f31206e6f64"
    "6573207265706f72746564206661696c757265a44b65797380a84d6573736167657381af7265616c2d636f6e73756c2e646331da00294b65"
    "7972696e6720697320656d7074792028656e6372797074696f6e206e6f7420656e61626c656429a84e756d4e6f64657301ab5072696d6172"
    "794b65797381a001a75365676d656e74a0a357414ec388aa4461746163656e746572a3646331a54572726f72ba312f32206e6f6465732072"
    "65706f72746564206661696c757265a44b65797380a84d6573736167657381ab7265616c2d636f6e73756cda00294b657972696e67206973"
    "20656d7074792028656e6372797074696f6e206e6f7420656e61626c656429a84e756d4e6f64657302ab5072696d6172794b65797381a001"
    "a75365676d656e74a0a357414ec2"
)


def _split(data: bytes) -> tuple[bytes, bytes]:
    reader = MessageReader()
    reader.feed(data)
    header, body = reader.next(), reader.next()
    assert header is not None
    assert body is not None
    assert reader.next() is None
    assert reader.is_empty
    return header, body


def test_consul_request_is_read() -> None:
    header, body = _split(KVS_APPLY_SET_REQUEST)
    assert decode(RequestHeader, header) == RequestHeader(1, "KVS.Apply")
    request = decode(KVSRequest, body)
    assert request == KVSRequest(
        datacenter="dc1", op="set", dir_ent=DirEntry(key=b"a/b", value=b"\x00\xffvalue", flags=7)
    )


def test_consul_keyring_operation_is_read_and_its_reply_written_byte_for_byte() -> None:
    header, body = _split(KEYRING_LIST_REQUEST)
    assert decode(RequestHeader, header).service_method == INTERNAL_KEYRING_OPERATION.name
    assert decode(KeyringRequest, body) == KeyringRequest(datacenter="dc1", operation="list")
    responses = [
        KeyringResponse(
            wan=name.endswith(".dc1"),
            datacenter="dc1",
            messages={name: "Keyring is empty (encryption not enabled)"},
            primary_keys={"": 1},
            num_nodes=nodes,
            error=f"1/{nodes} nodes reported failure",
        )
        for name, nodes in (("real-consul.dc1", 1), ("real-consul", 2))
    ]
    header, body = _split(KEYRING_LIST_RESPONSE)
    assert decode(KeyringResponses, body) == KeyringResponses(responses=responses)
    assert (
        encode_response(1, INTERNAL_KEYRING_OPERATION.name, encode(KeyringResponses(responses=responses)))
        == header + body
    )


def test_consul_reply_is_read_and_written_byte_for_byte() -> None:
    header, body = _split(KVS_GET_RESPONSE)
    assert decode(ResponseHeader, header) == ResponseHeader("", 1, "KVS.Get")
    entry = DirEntry(create_index=10, modify_index=10, flags=7, key=b"a/b", value=b"\x00\xffvalue")
    reply = IndexedDirEntries(index=10, known_leader=True, entries=[entry])
    assert decode(IndexedDirEntries, body) == reply
    assert encode_response(1, "KVS.Get", encode(reply)) == KVS_GET_RESPONSE


def test_plain_replies_are_written_byte_for_byte() -> None:
    assert encode_response(1, "Status.Leader", encode("127.0.0.1:45881")) == STATUS_LEADER_RESPONSE
    assert encode_response(1, "Status.Peers", encode(["127.0.0.1:45881"])) == STATUS_PEERS_RESPONSE
    assert encode_request(1, "Status.Ping", Empty()) == STATUS_PING_REQUEST
    assert decode(str, _split(STATUS_LEADER_RESPONSE)[1]) == "127.0.0.1:45881"
    assert decode(list[str], _split(STATUS_PEERS_RESPONSE)[1]) == ["127.0.0.1:45881"]
    assert decode(bool, b"\xc3") is True


def test_error_reply_has_an_empty_body() -> None:
    header, body = _split(encode_error(7, "KVS.Apply", "Must provide key"))
    assert decode(ResponseHeader, header) == ResponseHeader("Must provide key", 7, "KVS.Apply")
    assert body == b"\x80"


def test_no_new_family_is_ever_written() -> None:
    for size in (0, 31, 32, 255, 256, 70_000):
        encoded = encode(DirEntry(key=b"k" * size, value=b"\xff" * size))
        assert msgpack.unpackb(encoded, raw=True)[b"Value"] == b"\xff" * size
        first = {0: b"\xa0", 31: b"\xbf", 32: b"\xda", 255: b"\xda", 256: b"\xda", 70_000: b"\xdb"}[size]
        assert encoded[encoded.index(b"\xa5Value") + 6 :][:1] == first


def test_go_habits_are_understood() -> None:
    """Nil for anything, 0 for false, text as bin or str8, unknown fields, missing ones."""
    wire = msgpack.packb(
        {"Datacenter": None, "DirEnt": None, "Op": b"set", "Unknown": [1, {"a": None}]}, use_bin_type=True
    )
    assert decode(KVSRequest, wire) == KVSRequest()
    wire = msgpack.packb({"Key": "k" * 40, "AllowStale": 1, "RequireConsistent": 0, "Filter": None}, use_bin_type=True)
    assert decode(KeyRequest, wire) == KeyRequest(key=b"k" * 40, allow_stale=True)
    assert decode(KVSRequest, b"\x80") == KVSRequest()
    assert decode(IndexedKeyList, b"\xc0") == IndexedKeyList()


def test_undecodable_text_is_replaced_not_refused() -> None:
    wire = msgpack.packb({"Node": b"n\xff", "Output": b"\xc3("}, use_bin_type=False)
    assert decode(HealthCheck, wire) == HealthCheck(node="n�", output="�(")
    assert decode(KeyListRequest, msgpack.packb({"Seperator": b"\xff", "Prefix": b"\xff"}, use_bin_type=False)) == (
        KeyListRequest(prefix=b"\xff", seperator="�")
    )


@pytest.mark.parametrize("text", ["bad \udcff escape", "lone \ud800 surrogate"])
def test_unencodable_text_is_written_all_the_same(text: str) -> None:
    assert decode(DatacenterRequest, encode(DatacenterRequest(token=text))).token.startswith(text[:4])


def test_missing_required_records_are_empty_ones() -> None:
    reply = decode(IndexedCheckServiceNodes, msgpack.packb({"Nodes": [{"Checks": None}]}))
    assert reply.nodes == [CheckServiceNode(node=Node(), service=NodeService(), checks=[])]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (KVSRequest, [1]),
        (KVSRequest, {"Datacenter": 5}),
        (KeyRequest, {"AllowStale": 7}),
        (KeyRequest, {"Key": ["x"]}),
        (KeyRequest, {"MinQueryIndex": "many"}),
        (IndexedHealthChecks, {"HealthChecks": {"a": 1}}),
        (bool, "yes"),
        (str, {}),
    ],
)
def test_other_shapes_are_wire_errors(kind: Any, value: Any) -> None:
    with pytest.raises(WireError):
        decode(kind, msgpack.packb(value, use_bin_type=False))


_texts = st.text(st.characters(codec="utf-8"), max_size=40)
_indexes = st.integers(0, 2**64 - 1)


@given(
    st.builds(
        KVSRequest,
        datacenter=_texts,
        token=_texts,
        op=_texts,
        dir_ent=st.builds(
            DirEntry,
            key=st.binary(max_size=300),
            value=st.none() | st.binary(max_size=300),
            flags=_indexes,
            lock_index=_indexes,
        ),
    )
)
def test_kv_round_trip(request: KVSRequest) -> None:
    assert decode(KVSRequest, encode(request)) == request


_checks = st.builds(
    HealthCheck, node=_texts, status=_texts, output=_texts, service_tags=st.none() | st.lists(_texts, max_size=3)
)
_services = st.builds(
    NodeService,
    id=_texts,
    meta=st.none() | st.dictionaries(_texts, _texts, max_size=3),
    port=st.integers(0, 65535),
    weights=st.none() | st.builds(Weights, passing=st.integers(0, 100)),
    proxy=st.none()
    | st.dictionaries(_texts, st.integers() | _texts | st.booleans(), max_size=3).filter(
        lambda proxy: all(type(value) is not int or -(2**63) <= value < 2**64 for value in proxy.values())
    ),
)


@given(
    st.builds(
        RegisterRequest,
        node=_texts,
        service=st.none() | _services,
        check=st.none() | _checks,
        checks=st.none() | st.lists(_checks, max_size=3),
        skip_node_update=st.booleans(),
    )
)
def test_catalog_round_trip(request: RegisterRequest) -> None:
    assert decode(RegisterRequest, encode(request)) == request


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_has_both_plans(name: str) -> None:
    method = METHODS[name]
    assert decode(method.request, encode(method.request())) == method.request()
    assert decode(method.reply, encode(method.reply())) == method.reply()


def test_octets_in_the_values_of_a_map_come_back() -> None:
    """Both where all of the raw family is UTF-8 and where it is not."""
    for octets in (b"text", b"\x01\xff\x00"):
        health = AutopilotServerHealth(healthy=True, stable_since=octets)
        state = AutopilotState(servers={"i": AutopilotServerState(health=health)})
        assert decode(AutopilotState, encode(state)) == state


@given(st.binary(max_size=200))
def test_garbage_never_raises_anything_else(data: bytes) -> None:
    reader = MessageReader(limit=100)
    reader.feed(data)
    try:
        while (message := reader.next()) is not None:
            for kind in (KVSRequest, RegisterRequest, RequestHeader):
                try:
                    decode(kind, message)
                except WireError:
                    continue
    except WireError:
        return


@given(st.lists(st.recursive(st.none() | st.booleans() | st.integers(-5, 2**40) | _texts, st.lists), max_size=6))
def test_messages_are_cut_however_they_arrive(values: list[Any]) -> None:
    messages = [msgpack.packb(value, use_bin_type=False) for value in values]
    reader = MessageReader()
    got = []
    for byte in b"".join(messages):
        reader.feed(bytes([byte]))
        while (message := reader.next()) is not None:
            got.append(message)
    assert got == messages


def test_too_long_messages_are_refused_early_and_late() -> None:
    reader = MessageReader(limit=1000)
    reader.feed(b"\xdb\x00\x10\x00\x00" + bytes(2000))
    with pytest.raises(WireError, match="longer than 1000"):
        reader.next()
    reader = MessageReader(limit=1000)
    reader.feed(msgpack.packb(bytes(1500), use_bin_type=False))
    with pytest.raises(WireError, match="longer than 1000"):
        reader.next()


def test_deep_nesting_is_a_wire_error() -> None:
    reader = MessageReader()
    reader.feed(b"\x91" * 5000 + b"\xc0")
    with pytest.raises(WireError):
        reader.next()


def test_long_messages_leave_no_long_buffers_behind() -> None:
    reader = MessageReader()
    for size in (300_000, 10, 70_000):
        message = msgpack.packb(bytes(size), use_bin_type=False)
        reader.feed(message)
        assert reader.next() == message
        assert reader.is_empty
        assert reader._buffer.__alloc__() < 66_000


def test_readers_hold_scanners_only_in_the_middle_of_a_message() -> None:
    message = msgpack.packb({"Seq": 1, "ServiceMethod": "KVS.Get"}, use_bin_type=False)
    readers = [MessageReader() for _ in range(200)]
    for reader in readers:
        reader.feed(message * 2 + message[:5])
        assert [reader.next(), reader.next(), reader.next()] == [message, message, None]
        assert reader._scanner is not None
    for reader in readers:
        reader.feed(message[5:])
        assert reader.next() == message
        assert reader.next() is None
    assert all(reader._scanner is None and reader.is_empty for reader in readers)


def test_refused_message_leaves_no_scanner_for_others() -> None:
    for garbage in (b"\x91" * 5000, b"\xc1", b"\xdb\x7f\xff\xff\xff" + bytes(200)):
        reader = MessageReader(limit=100)
        reader.feed(garbage)
        with pytest.raises(WireError):
            reader.next()
    reader = MessageReader()
    reader.feed(b"\x01\x02")
    assert [reader.next(), reader.next()] == [b"\x01", b"\x02"]
