"""Sessions: what holds locks, for as long as its node and checks are well."""

from __future__ import annotations

from enum import StrEnum

from .record import RaftIndexed, Record


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
