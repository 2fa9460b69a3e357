"""The server's endpoints, one class for each noun: they check arguments, read the state, and propose writes."""

from __future__ import annotations

from consul_kernel.rpc.endpoints import EndpointTable

from .autopilot import AutopilotEndpoint
from .catalog import CatalogEndpoint
from .config_entry import ConfigEntryEndpoint
from .context import EndpointContext
from .coordinate import CoordinateEndpoint
from .health import HealthEndpoint
from .internal import Internal
from .kvs import KVS
from .operator import Operator
from .prepared_query import PreparedQueryEndpoint
from .session import SessionEndpoint
from .status import Status
from .txn import TxnEndpoint

__all__ = ["EndpointContext", "attach_endpoints"]


def attach_endpoints(table: EndpointTable, context: EndpointContext) -> None:
    """Attach the endpoints of a server to the table that calls are looked up in."""
    Status(context).attach(table)
    CatalogEndpoint(context).attach(table)
    HealthEndpoint(context).attach(table)
    KVS(context).attach(table)
    CoordinateEndpoint(context).attach(table)
    SessionEndpoint(context).attach(table)
    TxnEndpoint(context).attach(table)
    PreparedQueryEndpoint(context).attach(table)
    ConfigEntryEndpoint(context).attach(table)
    Internal(context).attach(table)
    Operator(context).attach(table)
    AutopilotEndpoint(context).attach(table)
