"""Transactions: several operations that take effect together, or not at all."""

from __future__ import annotations

from enum import StrEnum

from msgspec import field

from .check import HealthCheck
from .kv import DirEntry
from .node import Node
from .query import DatacenterRequest, QueryMeta, QueryOptions
from .record import Record
from .service import NodeService
from .session import Session


class TxnKVVerb(StrEnum):
    """What an operation can do to a key. From `get` on nothing is written."""

    SET = "set"
    DELETE = "delete"
    DELETE_CAS = "delete-cas"
    DELETE_TREE = "delete-tree"
    CAS = "cas"
    LOCK = "lock"
    UNLOCK = "unlock"
    GET = "get"
    GET_TREE = "get-tree"
    CHECK_SESSION = "check-session"
    CHECK_INDEX = "check-index"
    CHECK_NOT_EXISTS = "check-not-exists"


KV_READS = frozenset(
    {
        TxnKVVerb.GET,
        TxnKVVerb.GET_TREE,
        TxnKVVerb.CHECK_SESSION,
        TxnKVVerb.CHECK_INDEX,
        TxnKVVerb.CHECK_NOT_EXISTS,
    }
)


class TxnVerb(StrEnum):
    """What an operation can do to a node, a service or a check; to a session only `delete`."""

    GET = "get"
    SET = "set"
    CAS = "cas"
    DELETE = "delete"
    DELETE_CAS = "delete-cas"


class TxnKVOp(Record, kw_only=True):
    """An operation on a key. `cas`, `delete-cas` and `check-index` expect the index `dir_ent.modify_index`."""

    verb: str = ""
    dir_ent: DirEntry = field(default_factory=DirEntry)


class TxnNodeOp(Record, kw_only=True):
    """An operation on a node, by name; to get one, its id goes before."""

    verb: str = ""
    node: Node = field(default_factory=Node)


class TxnServiceOp(Record, kw_only=True):
    """An operation on a service instance of a node."""

    verb: str = ""
    node: str = ""
    service: NodeService = field(default_factory=NodeService)


class TxnCheckOp(Record, kw_only=True):
    """An operation on a check."""

    verb: str = ""
    check: HealthCheck = field(default_factory=HealthCheck)


class TxnSessionOp(Record, kw_only=True):
    """The end of a session."""

    verb: str = ""
    session: Session = field(default_factory=Session)


class TxnOp(Record, kw_only=True):
    """One operation: exactly one of these."""

    kv: TxnKVOp | None = None
    node: TxnNodeOp | None = None
    service: TxnServiceOp | None = None
    check: TxnCheckOp | None = None
    session: TxnSessionOp | None = None


class TxnRequest(DatacenterRequest, kw_only=True):
    """A transaction with writes."""

    ops: list[TxnOp] | None = None


class TxnReadRequest(QueryOptions, kw_only=True):
    """A transaction without writes."""

    ops: list[TxnOp] | None = None


class TxnError(Record, kw_only=True):
    """Why an operation, counted from 0, was refused."""

    op_index: int = 0
    what: str = ""


class TxnResult(Record, kw_only=True):
    """What an operation has to tell: one of these. Written keys are told of without their values."""

    kv: DirEntry | None = None
    node: Node | None = None
    service: NodeService | None = None
    check: HealthCheck | None = None


class TxnResponse(Record, kw_only=True):
    """The results of all operations, or why there are none."""

    results: list[TxnResult] | None = None
    errors: list[TxnError] | None = None


class TxnReadResponse(QueryMeta, kw_only=True):
    """The same for a transaction without writes."""

    results: list[TxnResult] | None = None
    errors: list[TxnError] | None = None
