"""Sessions: what holds locks, for as long as its node and checks are well."""

from __future__ import annotations

from enum import StrEnum

from msgspec import field

from .query import DatacenterRequest, QueryMeta, QueryOptions
from .record import RaftIndexed, Record


class SessionOp(StrEnum):
    """What `Session.Apply` can do."""

    CREATE = "create"
    DESTROY = "destroy"


class SessionBehavior(StrEnum):
    """What becomes of the keys that a session holds when it ends."""

    RELEASE = "release"
    DELETE = "delete"


class ServiceCheck(Record, kw_only=True):
    """A service's check that a session depends on."""

    id: str = ""
    namespace: str = ""


class Session(RaftIndexed, kw_only=True):
    """A session. `lock_delay` is nanoseconds, `ttl` text such as "30s"; `checks` is an old name of `node_checks`."""

    id: str = ""
    name: str = ""
    node: str = ""
    lock_delay: int = 0
    behavior: str = ""
    ttl: str = ""
    node_checks: list[str] | None = None
    service_checks: list[ServiceCheck] | None = None
    checks: list[str] | None = None


class SessionRequest(DatacenterRequest, kw_only=True):
    """A write. A session that is created gets its id from the leader; to destroy one, only its id counts."""

    op: str = ""
    session: Session = field(default_factory=Session)


class SessionSpecificRequest(QueryOptions, kw_only=True):
    """A read about one session, or about all. `session` is the name that `session_id` had before Consul 1.7."""

    session_id: str = ""
    session: str = ""


class IndexedSessions(QueryMeta, kw_only=True):
    """Sessions by id; None where there is none."""

    sessions: list[Session] | None = None
