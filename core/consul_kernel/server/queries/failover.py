"""Other datacenters, where this one has no instance to offer."""

from __future__ import annotations

import logging

from msgspec.structs import replace

from consul_kernel.contracts.errors import ConsulKernelError
from consul_kernel.structs.methods import PREPARED_QUERY_EXECUTE_REMOTE, Call
from consul_kernel.structs.prepared_query import (
    PreparedQuery,
    PreparedQueryExecuteRemoteRequest,
    PreparedQueryExecuteRequest,
    PreparedQueryExecuteResponse,
    QueryFailover,
)

logger = logging.getLogger(__name__)


def datacenters_to_try(failover: QueryFailover, others: list[str]) -> list[str]:
    """The nearest, as many as are asked for, then those named; each once. `others` are all known, nearest first."""
    nearest = others[: max(failover.nearest_n, 0)]
    named = [datacenter for datacenter in failover.datacenters or () if datacenter in others]
    return list(dict.fromkeys([*nearest, *named]))


async def fail_over(
    query: PreparedQuery,
    request: PreparedQueryExecuteRequest,
    reply: PreparedQueryExecuteResponse,
    *,
    others: list[str],
    call: Call,
) -> PreparedQueryExecuteResponse:
    """The answer of the first other datacenter that has instances, else the last that came, else `reply`.

    One that does not answer counts as one that was tried.
    """
    failovers = 0
    for datacenter in datacenters_to_try(query.service.failover, others):
        failovers += 1
        remote = _remote_request(datacenter, query, request)
        try:
            found: PreparedQueryExecuteResponse = await call(PREPARED_QUERY_EXECUTE_REMOTE, remote)
        except (ConsulKernelError, OSError) as error:
            logger.warning("service %s could not be looked up in %s: %s", query.service.service, datacenter, error)
            continue
        reply = found
        if found.nodes:
            break
    return replace(reply, failovers=failovers)


def _remote_request(
    datacenter: str, query: PreparedQuery, request: PreparedQueryExecuteRequest
) -> PreparedQueryExecuteRemoteRequest:
    return PreparedQueryExecuteRemoteRequest(
        datacenter=datacenter,
        token=request.token,
        query=query,
        limit=request.limit,
        connect=request.connect,
        allow_stale=request.allow_stale,
        require_consistent=request.require_consistent,
        max_stale_duration=request.max_stale_duration,
    )
