"""Asking other name servers about what is not the agent's."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Sequence
from typing import cast

import dnslib

from .query import FLAG_RESPONSE
from .selection import parse_address
from .wire import HEADER_BYTES, Rcode, Record, RecordType, UnpackableNameError, address_record, name_record, pack_name

_ANSWERED = (Rcode.NOERROR, Rcode.NXDOMAIN)
_MAX_ID = 0xFFFF
_DNS_PORT = 53
MAX_FORWARDED = 256
"""Queries that are with recursors at once: each has a socket of its own."""


def parse_server(server: str) -> tuple[str, int]:
    """`8.8.8.8`, `8.8.8.8:5353`, `::1` or `[::1]:5353`; the port is 53 unless given."""
    if parse_address(server) is not None:
        return server, _DNS_PORT
    host, _, port = server.rpartition(":")
    if host and port.isdigit():
        return host.strip("[]"), int(port)
    return server.strip("[]"), _DNS_PORT


class _Exchange(asyncio.DatagramProtocol):
    """One question to one server on a socket, and so a random port, of its own."""

    def __init__(self, packet: bytes) -> None:
        self._packet = packet
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not checked by isinstance: uvloop's transports are of no asyncio class.
        cast("asyncio.DatagramTransport", transport).sendto(self._packet)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if is_answer_to(self._packet, data) and not self.answer.done():
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


def is_answer_to(packet: bytes, data: bytes) -> bool:
    """Whether data answer a query: same id, flagged as an answer, and the same question if they repeat one."""
    if len(data) < HEADER_BYTES or data[:2] != packet[:2] or not data[2] & (FLAG_RESPONSE >> 8):
        return False
    if data[4:6] == b"\0\0":
        return True
    end = HEADER_BYTES
    while end < len(packet) and packet[end]:
        end += packet[end] + 1
    end += 5
    return data[HEADER_BYTES:end].lower() == packet[HEADER_BYTES:end].lower()


class Recursors:
    """The configured servers, asked in order, or in a random one each time; each has `timeout_ms` to answer."""

    def __init__(self, servers: Sequence[str], *, timeout_ms: int, shuffled_by: random.Random | None = None) -> None:
        self._rng = shuffled_by
        self._servers = [parse_server(server) for server in servers]
        self._timeout_s = timeout_ms / 1000
        self._under_way = 0

    def __bool__(self) -> bool:
        return bool(self._servers)

    async def forward(self, packet: bytes, *, is_tcp: bool) -> bytes | None:
        """The first answer that says yes or no such name; None when every server fails. Its id is the packet's.

        When as many queries as may be are under way, the answer is None at once.
        """
        if self._under_way >= MAX_FORWARDED:
            return None
        self._under_way += 1
        try:
            return await self._ask_in_order(packet, is_tcp=is_tcp)
        finally:
            self._under_way -= 1

    async def _ask_in_order(self, packet: bytes, *, is_tcp: bool) -> bytes | None:
        own_id = secrets.randbelow(_MAX_ID + 1).to_bytes(2, "big")
        asked = own_id + packet[2:]
        servers = self._servers if self._rng is None else self._rng.sample(self._servers, len(self._servers))
        for server in servers:
            try:
                async with asyncio.timeout(self._timeout_s):
                    data = await (_ask_tcp(server, asked) if is_tcp else _ask_udp(server, asked))
            except (OSError, TimeoutError, EOFError):
                continue
            if data[3] & 0xF in _ANSWERED:
                return packet[:2] + data[2:]
        return None

    async def addresses(self, name: str) -> list[Record]:
        """A and CNAME records that lead from a name to addresses; empty when nobody knows."""
        question = dnslib.DNSRecord.question(name, "A").pack()
        data = await self.forward(bytes(question), is_tcp=False)
        if data is None:
            return []
        try:
            parsed = dnslib.DNSRecord.parse(data)
            return [record for record in map(_convert, parsed.rr) if record is not None]
        except Exception:  # noqa: BLE001 (the parser answers garbage with many kinds of error)
            return []


def _convert(answer: dnslib.RR) -> Record | None:
    try:
        owner = pack_name(label for label in answer.rname.label if label)
        if answer.rtype in (RecordType.A, RecordType.AAAA):
            address = parse_address(str(answer.rdata))
            return None if address is None else address_record(owner, address, answer.ttl)
        if answer.rtype == RecordType.CNAME:
            target = pack_name(label for label in answer.rdata.label.label if label)
            return name_record(owner, RecordType.CNAME, answer.ttl, target)
    except UnpackableNameError:
        return None
    return None


async def _ask_udp(server: tuple[str, int], packet: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: _Exchange(packet), remote_addr=server)
    try:
        return await protocol.answer
    finally:
        transport.close()


async def _ask_tcp(server: tuple[str, int], packet: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*server)
    try:
        writer.write(len(packet).to_bytes(2, "big") + packet)
        size = int.from_bytes(await reader.readexactly(2), "big")
        data = await reader.readexactly(size)
    finally:
        writer.close()
    if not is_answer_to(packet, data):
        raise OSError("the recursor answered another question")
    return data
