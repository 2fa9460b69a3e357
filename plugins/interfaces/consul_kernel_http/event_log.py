"""User events: their payload on the wire, and the newest of those that reached this agent.

Consul wraps a user event into a MessagePack map (keys ID, n, nf, p, sf, tf, v; the binary flavour, unlike the rest
of its wire) and spreads it under the name `consul:event:NAME`. Every agent decides by the filters whether the event
is meant for it, and keeps the last 256.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque

import msgpack
import msgspec

from consul_kernel.contracts.interface import AgentApi
from consul_kernel.contracts.membership import UserEvent
from consul_kernel.structs.record import go_name

from .event_filters import accepts

EVENT_NAME_PREFIX = "consul:event:"
EVENT_VERSION = 1
KEPT_EVENTS = 256
_REMOTE_EXEC = "_rexec"
"""What `consul exec` sends. It is nobody else's event, and remote execution is off, as it is by default in Consul."""


class EventView(msgspec.Struct, rename=go_name):
    """A user event as `/v1/event` shows it."""

    id: str
    name: str
    payload: bytes | None
    node_filter: str
    service_filter: str
    tag_filter: str
    version: int
    ltime: int = msgspec.field(name="LTime")


def encode_payload(event: EventView) -> bytes:
    """The payload that travels. Empty fields are left out, keys are sorted."""
    fields: dict[str, object] = {"ID": event.id, "n": event.name}
    optional = (("nf", event.node_filter), ("p", event.payload), ("sf", event.service_filter), ("tf", event.tag_filter))
    fields.update((key, value) for key, value in optional if value)
    fields["v"] = event.version
    packed: bytes = msgpack.packb(fields, use_bin_type=True)
    return packed


def decode_payload(payload: bytes, lamport_time: int) -> EventView:
    """The event in a payload. ValueError for anything that is none."""
    try:
        fields = msgpack.unpackb(payload, raw=False, unicode_errors="replace")
    except (ValueError, msgpack.UnpackException) as error:
        raise ValueError(f"not a user event: {error}") from error
    if not isinstance(fields, dict):
        raise ValueError("not a user event: no map")
    body = fields.get("p")
    if isinstance(body, str):
        body = body.encode()
    event = EventView(
        id=fields.get("ID", ""),
        name=fields.get("n", ""),
        payload=body or None,
        node_filter=fields.get("nf", ""),
        service_filter=fields.get("sf", ""),
        tag_filter=fields.get("tf", ""),
        version=fields.get("v", 0),
        ltime=lamport_time,
    )
    return msgspec.convert(msgspec.to_builtins(event, builtin_types=(bytes,)), EventView)


def is_meant_for(event: EventView, agent: AgentApi) -> bool:
    """Whether the filters of an event accept this agent.

    Consul's documentation has the service filter find names; Consul compares it to ids, which are names unless somebody
    says otherwise. Here either will do.
    """
    if not (event.node_filter or event.service_filter):
        return True
    return accepts(
        node=event.node_filter,
        service=event.service_filter,
        tag=event.tag_filter,
        node_name=agent.node_name,
        services=agent.local.services(),
    )


class EventLog:
    """The newest user events of one agent, oldest first."""

    def __init__(self) -> None:
        self._events: deque[EventView] = deque(maxlen=KEPT_EVENTS)
        self._changed = asyncio.Event()

    def add(self, event: EventView) -> None:
        """Keep an event and wake whoever waits for one."""
        self._events.append(event)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def named(self, name: str) -> list[EventView]:
        """The events of a name, or all of them for ""."""
        return [event for event in self._events if not name or event.name == name]

    async def wait(self, timeout_s: float) -> bool:
        """Wait for the next event; False when none came in time."""
        try:
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        except TimeoutError:
            return False
        return True


_LOGS: weakref.WeakKeyDictionary[AgentApi, EventLog] = weakref.WeakKeyDictionary()


def event_log_of(agent: AgentApi) -> EventLog:
    """The log of an agent; there may be several agents in one process."""
    log = _LOGS.get(agent)
    if log is None:
        log = _LOGS[agent] = EventLog()
    return log


def note_event(agent: AgentApi, event: UserEvent) -> None:
    """Keep a user event that has reached the agent, if it is one of Consul's and meant for this agent."""
    if not event.name.startswith(EVENT_NAME_PREFIX):
        return
    try:
        view = decode_payload(event.payload, event.lamport_time)
    except (ValueError, TypeError, msgspec.ValidationError):
        return
    if view.name != _REMOTE_EXEC and is_meant_for(view, agent):
        event_log_of(agent).add(view)
