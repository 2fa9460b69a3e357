"""Requests of every shape, well-formed or not quite: each stream ends with an answer or without, and no more."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgpack
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from consul_kernel.contracts.errors import TransportError
from consul_kernel.rpc.client import ConnectionPool
from consul_kernel.rpc.yamux import YamuxSession
from consul_kernel.structs.methods import METHODS, STATUS_LEADER, STATUS_PING
from consul_kernel.structs.query import DatacenterRequest
from consul_kernel.structs.record import Empty
from consul_kernel.testing.memory_network import MemoryNetwork
from consul_kernel.testing.virtual_time import run_virtual
from consul_kernel_tcp.transport import TcpTransport
from core.rpc.rpc_cluster import Node, start_servers

_scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary(max_size=20)
_fields = st.sampled_from(
    [b"Datacenter", b"Key", b"DirEnt", b"Value", b"AllowStale", b"MinQueryIndex", b"Op", b"Token"]
)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_fields | st.binary(max_size=4), inner, max_size=4),
    max_leaves=8,
)
_names = st.sampled_from(sorted(METHODS)).map(str.encode) | st.binary(max_size=12)
_headers = st.fixed_dictionaries({b"Seq": st.integers(0, 9), b"ServiceMethod": _names}) | _values
_bodies = st.dictionaries(_fields, _values, max_size=6) | _values


@settings(max_examples=150)
@given(st.lists(st.tuples(_headers, _bodies, st.integers(0, 30)), min_size=1, max_size=4))
def test_any_request_leaves_the_server_standing(requests: list[tuple[Any, Any, int]]) -> None:
    async def program() -> None:
        network = MemoryNetwork(random.Random(1))
        (server,) = await start_servers(network, "s1")
        server.lead()
        connection = await network.transport("10.0.0.66").dial(server.entry.address, timeout_ms=1000)
        connection.write(b"\x04")
        session = YamuxSession(connection, is_client=True)
        session.start()
        for header, body, cut in requests:
            stream = session.open_stream()
            data = msgpack.packb(header, use_bin_type=False) + msgpack.packb(body, use_bin_type=False)
            stream.write(data[: len(data) - cut] if cut < 5 else data)
            stream.close_write()
            try:
                async with asyncio.timeout(700):
                    while await stream.read(10_000):
                        pass
            except TransportError:
                pass
        assert session.is_open
        await session.aclose()
        pool = ConnectionPool(network.transport("10.0.0.50"))
        assert await pool.call(server.entry.address, STATUS_PING, Empty(), timeout_ms=1000) == Empty()
        await pool.aclose()

    run_virtual(program())


def test_calls_work_under_uvloop() -> None:
    async def program() -> None:
        node = Node(TcpTransport(), "127.0.0.1", "s1", port=0)
        await node.start()
        node.lead()
        pool = ConnectionPool(node.transport)
        calls = [
            pool.call(node.entry.address, STATUS_LEADER, DatacenterRequest(), timeout_ms=10_000) for _ in range(600)
        ]
        assert await asyncio.gather(*calls) == ["s1"] * 600
        await pool.aclose()
        await node.aclose()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(program())
