"""Prepared queries: lookups of a service that servers keep, with fail-over to other datacenters."""

from __future__ import annotations

from msgspec import field

from .record import RaftIndexed, Record


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
