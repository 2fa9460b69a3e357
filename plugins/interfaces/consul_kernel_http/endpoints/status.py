"""`/v1/status`."""

from __future__ import annotations

from consul_kernel.structs.methods import STATUS_LEADER, STATUS_PEERS
from consul_kernel.structs.query import DatacenterRequest, QueryOptions
from consul_kernel_http.answer import Answer
from consul_kernel_http.exchange import Exchange
from consul_kernel_http.options import read_options


async def leader(exchange: Exchange) -> Answer:
    """The leader's server address, "" when none is known."""
    return exchange.json(await exchange.agent.call(STATUS_LEADER, _request(exchange)))


async def peers(exchange: Exchange) -> Answer:
    """The server addresses of the Raft peers."""
    return exchange.json(await exchange.agent.call(STATUS_PEERS, _request(exchange)))


def _request(exchange: Exchange) -> DatacenterRequest:
    options = read_options(exchange, QueryOptions())
    return DatacenterRequest(datacenter=options.datacenter, token=options.token)
