"""Prepared queries: lookups of a service that servers keep, with fail-over to other datacenters."""

from __future__ import annotations

from enum import StrEnum

from msgspec import field

from .health import CheckServiceNode
from .query import DatacenterRequest, QueryMeta, QueryOptions, QuerySource
from .record import RaftIndexed, Record

NAME_PREFIX_MATCH = "name_prefix_match"
"""The one type of template."""


class QueryFailover(Record, kw_only=True):
    """Where to look when there is no instance here."""

    nearest_n: int = 0
    datacenters: list[str] | None = None


class ServiceQuery(Record, kw_only=True):
    """Which instances of which service. A tag that begins with `!` must not be there."""

    service: str = ""
    failover: QueryFailover = field(default_factory=QueryFailover)
    only_passing: bool = False
    ignore_check_ids: list[str] | None = field(default=None, name="IgnoreCheckIDs")
    near: str = ""
    tags: list[str] | None = None
    node_meta: dict[str, str] | None = None
    service_meta: dict[str, str] | None = None
    connect: bool = False


class QueryTemplate(Record, kw_only=True):
    """Makes one query stand for all names that begin with its own."""

    type: str = ""
    regexp: str = ""
    remove_empty_tags: bool = False


class QueryDns(Record, kw_only=True):
    """How DNS answers are made of it; `ttl` is text such as "10s"."""

    ttl: str = ""


class PreparedQuery(RaftIndexed, kw_only=True):
    """A prepared query. It ends with `session`, when it names one."""

    id: str = ""
    name: str = ""
    session: str = ""
    token: str = ""
    template: QueryTemplate = field(default_factory=QueryTemplate)
    service: ServiceQuery = field(default_factory=ServiceQuery)
    dns: QueryDns = field(default_factory=QueryDns)


class PreparedQueryOp(StrEnum):
    """What `PreparedQuery.Apply` can do."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class PreparedQueryRequest(DatacenterRequest, kw_only=True):
    """A write. A query that is created gets its id from the leader; to delete one, only its id counts."""

    op: str = ""
    query: PreparedQuery = field(default_factory=PreparedQuery)


class PreparedQuerySpecificRequest(QueryOptions, kw_only=True):
    """A read of one query."""

    query_id: str = ""


class IndexedPreparedQueries(QueryMeta, kw_only=True):
    """Queries by id; None where there is none."""

    queries: list[PreparedQuery] | None = None


class PreparedQueryExecuteRequest(QueryOptions, kw_only=True):
    """Whom to look up, by the query's id or by a name, at most `limit` instances (0: all).

    `agent` is the agent that was asked. `source` is from where distances count, if the asker says so; else the query
    may.
    """

    query_id_or_name: str = field(default="", name="QueryIDOrName")
    limit: int = 0
    connect: bool = False
    source: QuerySource = field(default_factory=QuerySource)
    agent: QuerySource = field(default_factory=QuerySource)


class PreparedQueryExecuteRemoteRequest(QueryOptions, kw_only=True):
    """A query, as it was resolved, for another datacenter to carry out."""

    query: PreparedQuery = field(default_factory=PreparedQuery)
    limit: int = 0
    connect: bool = False


class PreparedQueryExecuteResponse(QueryMeta, kw_only=True):
    """The instances that were found, in which datacenter, and how many others were asked on the way."""

    service: str = ""
    nodes: list[CheckServiceNode] | None = None
    dns: QueryDns = field(default_factory=QueryDns)
    datacenter: str = ""
    failovers: int = 0


class PreparedQueryExplainResponse(QueryMeta, kw_only=True):
    """A query as it would be carried out."""

    query: PreparedQuery = field(default_factory=PreparedQuery)
