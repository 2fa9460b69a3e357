"""What a membership may offer beyond its contract: queries, keyring operations, network coordinates.

Each is a Protocol of its own. A plugin names what it has in its descriptor's `capabilities`; whoever needs one asks
with `isinstance`. Clauses: docs/contracts/membership.md, sections 11 to 13, with checks in the membership kit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from consul_kernel.structs.coordinate import Coordinate


class MembershipCapability(StrEnum):
    """The names for `Plugin.capabilities`."""

    QUERIES = "queries"
    KEYRING = "keyring"
    COORDINATES = "coordinates"


# --- queries ---


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryRequest:
    """A question to the pool. `nodes` (names) and `tags` (name to Go regular expression, unanchored) choose who is
    asked; all of them must fit, and none means everybody.

    `timeout_ms` 0 takes the pool's own, which grows with the logarithm of its size. `relay_factor` members carry
    each answer besides, for links that lose much.
    """

    name: str
    payload: bytes = b""
    nodes: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    timeout_ms: int = 0
    relay_factor: int = 0
    request_ack: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryOutcome:
    """Who acknowledged and who answered what, in the order of arrival; each member counts once."""

    acks: tuple[str, ...]
    responses: Mapping[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingQuery:
    """A question that was asked of this agent. `source` is the name of the member that asks, "" from old ones."""

    name: str
    payload: bytes
    source: str
    lamport_time: int


AnswerQuery = Callable[[IncomingQuery], bytes | None]
"""The application's answer, or None for silence. Called in the event loop; must neither raise nor block."""


@runtime_checkable
class QueryingMembership(Protocol):
    """Capability `queries`."""

    async def query(self, request: QueryRequest) -> QueryOutcome:
        """Ask, and wait until the time is over or everybody alive has answered.

        Raises MembershipError when the question is too large, or the membership is closed.
        """
        ...


# --- keyring ---


class KeyOperation(StrEnum):
    """What is done to every ring of the pool."""

    INSTALL = "install"
    USE = "use"
    REMOVE = "remove"
    LIST = "list"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyringOutcome:
    """What the members reported. `keys` and `primary_keys` say on how many members each key is, and is primary.

    `error` is "" on success, or Serf's text: `1/3 nodes reported failure`, `2/3 nodes reported success`. `messages` has
    a text for each member that refused or gave no answer, by its name.
    """

    members: int
    responses: int
    failures: int
    messages: Mapping[str, str]
    keys: Mapping[bytes, int]
    primary_keys: Mapping[bytes, int]
    error: str


@runtime_checkable
class KeyringMembership(Protocol):
    """Capability `keyring`: the pool's keys are changed while it runs, and nobody is cut off in between."""

    async def operate_keyring(
        self, operation: KeyOperation, key: bytes = b"", *, relay_factor: int = 0
    ) -> KeyringOutcome:
        """Carry one operation out on every member alive, this one included; failures are told in the outcome.

        Raises MembershipError when nothing could be asked.
        """
        ...


# --- coordinates ---


@runtime_checkable
class CoordinateMembership(Protocol):
    """Capability `coordinates`: round-trip times between any two members, estimated from the probes."""

    def coordinate(self, name: str = "") -> Coordinate | None:
        """Where a member stands, this agent when `name` is ""; None when that is not known, or switched off.

        What was handed out does not change.
        """
        ...
