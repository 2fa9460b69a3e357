"""Sending packets to a DNS port, over UDP and TCP, and what is wrong with what comes back."""

from __future__ import annotations

import socket
import struct

import dns.exception
import dns.message

_QUIET_S = 0.02
"""How long an answer is waited for that may rightly not come, once a later packet was answered."""
_PATIENCE_S = 8.0
PROBE = struct.pack("!6H", 0, 0x0100, 1, 0, 0, 0) + b"\x06server\x04node\x06consul\0" + struct.pack("!HH", 1, 1)
"""A question that always has an answer."""


def ask_udp(client: socket.socket, data: bytes) -> bytes | None:
    """The answer to a packet, None where there is none: a probe that is sent behind it is answered then.

    The id tells them apart: the probe has another one than the packet.
    """
    own = data[:2]
    probe_id = bytes((own[0] ^ 0xFF if own else 1, 7))
    client.send(data)
    client.send(probe_id + PROBE[2:])
    client.settimeout(_PATIENCE_S)
    answer: bytes | None = None
    while True:
        received = client.recv(65_535)
        if received[:2] != probe_id:
            answer = received
            continue
        if answer is None:  # a slower answer than the probe's
            client.settimeout(_QUIET_S)
            try:
                answer = client.recv(65_535)
            except TimeoutError:
                return None
        return answer


def ask_udp_once(address: tuple[str, int], data: bytes) -> bytes | None:
    """The answer to a packet from a socket of its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(address)
        return ask_udp(client, data)


def ask_tcp(address: tuple[str, int], data: bytes) -> bytes | None:
    """The answer over a connection of its own; None when it is closed without one."""
    with socket.create_connection(address, timeout=_PATIENCE_S) as stream:
        stream.sendall(len(data).to_bytes(2, "big") + data)
        stream.shutdown(socket.SHUT_WR)
        received = b""
        while piece := stream.recv(65_535):
            received += piece
    if not received:
        return None
    size = int.from_bytes(received[:2], "big")
    assert len(received) == size + 2, f"a frame of {size} bytes in {len(received)}"
    return received[2:]


def judge(sent: bytes, answer: bytes | None, *, is_valid: bool, is_tcp: bool) -> None:
    """AssertionError for an answer that is none, is not to this, or too large."""
    if answer is None:
        assert not is_valid, "no answer to a well-formed question"
        assert len(sent) < 12 or sent[2] & 0x80, "silence is for what has no header, or is an answer itself"
        return
    assert answer[:2] == sent[:2], "another id"
    try:
        message = dns.message.from_wire(answer)
    except dns.exception.DNSException as error:
        raise AssertionError(f"an answer that cannot be read: {error!r} {answer.hex()}") from error
    assert message.flags & 0x8000, "no answer, by its flags"
    if not is_valid:
        return
    assert message.question, "no question"
    name_end = _name_end(sent)
    assert answer[12 : name_end + 4] == sent[12 : name_end + 4], "another question"
    if not is_tcp:
        edns = sent[name_end + 4 :]
        limit = max(512, int.from_bytes(edns[3:5], "big")) if edns else 512
        # One answer is sent however long it is, as Consul does.
        assert len(answer) <= limit or len(message.answer) <= 1, f"{len(answer)} bytes, where the asker takes {limit}"


def _name_end(data: bytes) -> int:
    at = 12
    while data[at]:
        at += data[at] + 1
    return at + 1
