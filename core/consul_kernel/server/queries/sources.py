"""From where distances count for the answer to a query."""

from __future__ import annotations

import logging

from consul_kernel.state.catalog import Catalog
from consul_kernel.structs.prepared_query import PreparedQueryExecuteRequest
from consul_kernel.structs.query import QuerySource

logger = logging.getLogger(__name__)

OF_AGENT = "_agent"
OF_ADDRESS = "_ip"


def source_of(request: PreparedQueryExecuteRequest, near: str, catalog: Catalog) -> QuerySource:
    """The node of the asker's choice, else of the query's; `_agent` and `_ip` are whoever asked, by name or address."""
    datacenter = request.source.datacenter or request.agent.datacenter
    node = request.source.node or near
    if node == OF_AGENT:
        node = request.agent.node
    elif node == OF_ADDRESS:
        node = _node_at(request.source.ip, catalog)
    return QuerySource(datacenter=datacenter, node=node)


def _node_at(address: str, catalog: Catalog) -> str:
    if not address:
        logger.warning("a prepared query is near the asker's address, which is not known: distances do not count")
        return ""
    return next((node.node for node in catalog.nodes(None)[1] if node.address == address), "")
