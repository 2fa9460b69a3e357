"""Sessions."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from consul_kernel.structs.record import go_name
from consul_kernel.structs.session import Session


class ServiceCheckView(msgspec.Struct, rename=go_name, gc=False):
    """A check of a service that a session depends on."""

    id: str
    namespace: str


class SessionView(msgspec.Struct, rename=go_name, gc=False):
    """One session. `checks` is shown only where somebody used that old name."""

    id: str
    name: str
    node: str
    lock_delay: int
    behavior: str
    ttl: str
    node_checks: list[str] | None
    service_checks: list[ServiceCheckView] | None
    checks: list[str] | UnsetType
    create_index: int
    modify_index: int


def session_view(session: Session) -> SessionView:
    """One session."""
    service_checks = session.service_checks
    return SessionView(
        session.id,
        session.name,
        session.node,
        session.lock_delay,
        session.behavior,
        session.ttl,
        session.node_checks,
        None if service_checks is None else [ServiceCheckView(check.id, check.namespace) for check in service_checks],
        session.checks or UNSET,
        session.create_index,
        session.modify_index,
    )
