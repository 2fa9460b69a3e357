"""The calls between agents, under the names of Consul's RPC.

One list for everybody: interfaces make calls with these, servers attach an endpoint to each, and the wire
takes the types of requests and replies from here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Generic, TypeVar

from .autopilot import (
    AutopilotConfig,
    AutopilotSetConfigRequest,
    AutopilotState,
    ClusterHealth,
    RaftStats,
)
from .catalog import DeregisterRequest, RegisterRequest
from .check import IndexedHealthChecks
from .config_entry import ConfigEntryQuery, ConfigEntryRequest, ConfigEntryResponse, IndexedConfigEntries
from .coordinate import CoordinateUpdateRequest, DatacenterMap, IndexedCoordinates
from .event import EventFireRequest, EventFireResponse
from .founding import FoundingReply, FoundingRequest
from .health import IndexedCheckServiceNodes
from .keyring import KeyringRequest, KeyringResponses
from .kv import (
    IndexedDirEntries,
    IndexedKeyChanges,
    IndexedKeyList,
    KeyChangesRequest,
    KeyListRequest,
    KeyRequest,
    KVSRequest,
)
from .node import IndexedNodeDump, IndexedNodes, IndexedNodeServiceList, IndexedNodeServices
from .operator import (
    RaftConfiguration,
    RaftRemovePeerRequest,
    TransferLeaderRequest,
    TransferLeaderResponse,
)
from .prepared_query import (
    IndexedPreparedQueries,
    PreparedQueryExecuteRemoteRequest,
    PreparedQueryExecuteRequest,
    PreparedQueryExecuteResponse,
    PreparedQueryExplainResponse,
    PreparedQueryRequest,
    PreparedQuerySpecificRequest,
)
from .query import (
    ChecksInStateRequest,
    DatacenterRequest,
    DCSpecificRequest,
    NodeSpecificRequest,
    QueryOptions,
    ServiceSpecificRequest,
)
from .record import Empty
from .service import IndexedServiceNodes, IndexedServices
from .session import IndexedSessions, SessionRequest, SessionSpecificRequest
from .txn import TxnReadRequest, TxnReadResponse, TxnRequest, TxnResponse

RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")


class Route(Enum):
    """Which server answers."""

    READ = auto()
    """The leader, or any server when the request allows stale answers (`QueryOptions`)."""
    WRITE = auto()
    """The leader."""
    ANY = auto()
    """The server that is asked, whatever its role."""


@dataclass(frozen=True, slots=True)
class Method(Generic[RequestT, ReplyT]):
    """One call: its name on the wire, the types of its two records, and which server answers."""

    name: str
    request: type[RequestT]
    reply: type[ReplyT]
    route: Route
    counts_each_time: bool = False
    """For Route.ANY: whether a second time does more than the first."""

    @property
    def is_repeatable(self) -> bool:
        """Whether a call of which nobody knows if it was carried out may be made again."""
        return self.route is not Route.WRITE and not self.counts_each_time


Call = Callable[[Method[Any, Any], Any], Awaitable[Any]]
"""The way to the servers, as parts that make calls know it: `Agent.call`, without its types."""

STATUS_PING = Method("Status.Ping", Empty, Empty, Route.ANY)
STATUS_LEADER = Method("Status.Leader", DatacenterRequest, str, Route.ANY)
STATUS_PEERS = Method("Status.Peers", DatacenterRequest, list[str], Route.ANY)
STATUS_FOUND = Method("Status.Found", FoundingRequest, FoundingReply, Route.ANY)
STATUS_RAFT_STATS = Method("Status.RaftStats", Empty, RaftStats, Route.ANY)

CATALOG_REGISTER = Method("Catalog.Register", RegisterRequest, Empty, Route.WRITE)
CATALOG_DEREGISTER = Method("Catalog.Deregister", DeregisterRequest, Empty, Route.WRITE)
CATALOG_LIST_DATACENTERS = Method("Catalog.ListDatacenters", QueryOptions, list[str], Route.ANY)
CATALOG_LIST_NODES = Method("Catalog.ListNodes", DCSpecificRequest, IndexedNodes, Route.READ)
CATALOG_LIST_SERVICES = Method("Catalog.ListServices", DCSpecificRequest, IndexedServices, Route.READ)
CATALOG_SERVICE_NODES = Method("Catalog.ServiceNodes", ServiceSpecificRequest, IndexedServiceNodes, Route.READ)
CATALOG_NODE_SERVICES = Method("Catalog.NodeServices", NodeSpecificRequest, IndexedNodeServices, Route.READ)
CATALOG_NODE_SERVICE_LIST = Method("Catalog.NodeServiceList", NodeSpecificRequest, IndexedNodeServiceList, Route.READ)

HEALTH_CHECKS_IN_STATE = Method("Health.ChecksInState", ChecksInStateRequest, IndexedHealthChecks, Route.READ)
HEALTH_NODE_CHECKS = Method("Health.NodeChecks", NodeSpecificRequest, IndexedHealthChecks, Route.READ)
HEALTH_SERVICE_CHECKS = Method("Health.ServiceChecks", ServiceSpecificRequest, IndexedHealthChecks, Route.READ)
HEALTH_SERVICE_NODES = Method("Health.ServiceNodes", ServiceSpecificRequest, IndexedCheckServiceNodes, Route.READ)

KVS_APPLY = Method("KVS.Apply", KVSRequest, bool, Route.WRITE)
KVS_GET = Method("KVS.Get", KeyRequest, IndexedDirEntries, Route.READ)
KVS_LIST = Method("KVS.List", KeyRequest, IndexedDirEntries, Route.READ)
KVS_LIST_CHANGES = Method("KVS.ListChanges", KeyChangesRequest, IndexedKeyChanges, Route.READ)
KVS_LIST_KEYS = Method("KVS.ListKeys", KeyListRequest, IndexedKeyList, Route.READ)

COORDINATE_UPDATE = Method("Coordinate.Update", CoordinateUpdateRequest, Empty, Route.WRITE)
COORDINATE_LIST_DATACENTERS = Method("Coordinate.ListDatacenters", Empty, list[DatacenterMap], Route.ANY)
COORDINATE_LIST_NODES = Method("Coordinate.ListNodes", DCSpecificRequest, IndexedCoordinates, Route.READ)
COORDINATE_NODE = Method("Coordinate.Node", NodeSpecificRequest, IndexedCoordinates, Route.READ)
SESSION_APPLY = Method("Session.Apply", SessionRequest, str, Route.WRITE)
SESSION_GET = Method("Session.Get", SessionSpecificRequest, IndexedSessions, Route.READ)
SESSION_LIST = Method("Session.List", SessionSpecificRequest, IndexedSessions, Route.READ)
SESSION_NODE_SESSIONS = Method("Session.NodeSessions", NodeSpecificRequest, IndexedSessions, Route.READ)
SESSION_RENEW = Method("Session.Renew", SessionSpecificRequest, IndexedSessions, Route.WRITE)

TXN_APPLY = Method("Txn.Apply", TxnRequest, TxnResponse, Route.WRITE)
TXN_READ = Method("Txn.Read", TxnReadRequest, TxnReadResponse, Route.READ)

PREPARED_QUERY_APPLY = Method("PreparedQuery.Apply", PreparedQueryRequest, str, Route.WRITE)
PREPARED_QUERY_GET = Method("PreparedQuery.Get", PreparedQuerySpecificRequest, IndexedPreparedQueries, Route.READ)
PREPARED_QUERY_LIST = Method("PreparedQuery.List", DCSpecificRequest, IndexedPreparedQueries, Route.READ)
PREPARED_QUERY_EXPLAIN = Method(
    "PreparedQuery.Explain", PreparedQueryExecuteRequest, PreparedQueryExplainResponse, Route.READ
)
PREPARED_QUERY_EXECUTE = Method(
    "PreparedQuery.Execute", PreparedQueryExecuteRequest, PreparedQueryExecuteResponse, Route.READ
)
PREPARED_QUERY_EXECUTE_REMOTE = Method(
    "PreparedQuery.ExecuteRemote", PreparedQueryExecuteRemoteRequest, PreparedQueryExecuteResponse, Route.READ
)

CONFIG_ENTRY_APPLY = Method("ConfigEntry.Apply", ConfigEntryRequest, bool, Route.WRITE)
CONFIG_ENTRY_DELETE = Method("ConfigEntry.Delete", ConfigEntryRequest, Empty, Route.WRITE)
CONFIG_ENTRY_GET = Method("ConfigEntry.Get", ConfigEntryQuery, ConfigEntryResponse, Route.READ)
CONFIG_ENTRY_LIST = Method("ConfigEntry.List", ConfigEntryQuery, IndexedConfigEntries, Route.READ)

INTERNAL_EVENT_FIRE = Method(
    "Internal.EventFire", EventFireRequest, EventFireResponse, Route.ANY, counts_each_time=True
)
INTERNAL_NODE_INFO = Method("Internal.NodeInfo", NodeSpecificRequest, IndexedNodeDump, Route.READ)
INTERNAL_NODE_DUMP = Method("Internal.NodeDump", DCSpecificRequest, IndexedNodeDump, Route.READ)
INTERNAL_SERVICE_DUMP = Method("Internal.ServiceDump", DCSpecificRequest, IndexedCheckServiceNodes, Route.READ)
INTERNAL_KEYRING_OPERATION = Method("Internal.KeyringOperation", KeyringRequest, KeyringResponses, Route.ANY)

OPERATOR_AUTOPILOT_GET_CONFIGURATION = Method(
    "Operator.AutopilotGetConfiguration", DCSpecificRequest, AutopilotConfig, Route.READ
)
OPERATOR_AUTOPILOT_SET_CONFIGURATION = Method(
    "Operator.AutopilotSetConfiguration", AutopilotSetConfigRequest, bool, Route.WRITE
)
OPERATOR_AUTOPILOT_STATE = Method("Operator.AutopilotState", DCSpecificRequest, AutopilotState, Route.WRITE)
OPERATOR_SERVER_HEALTH = Method("Operator.ServerHealth", DCSpecificRequest, ClusterHealth, Route.WRITE)
OPERATOR_RAFT_GET_CONFIGURATION = Method(
    "Operator.RaftGetConfiguration", DCSpecificRequest, RaftConfiguration, Route.READ
)
OPERATOR_RAFT_REMOVE_PEER_BY_ADDRESS = Method(
    "Operator.RaftRemovePeerByAddress", RaftRemovePeerRequest, Empty, Route.WRITE
)
OPERATOR_RAFT_REMOVE_PEER_BY_ID = Method("Operator.RaftRemovePeerByID", RaftRemovePeerRequest, Empty, Route.WRITE)
OPERATOR_TRANSFER_LEADER = Method("Operator.TransferLeader", TransferLeaderRequest, TransferLeaderResponse, Route.WRITE)

METHODS: dict[str, Method[Any, Any]] = {
    value.name: value for value in list(globals().values()) if isinstance(value, Method)
}
"""Every method by its wire name."""
