"""What goes into the core and what comes out: frozen records, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from consul_kernel.contracts.membership import GossipEvent, MemberEvent
from consul_kernel.contracts.membership_capabilities import (
    KeyOperation,
    KeyringOutcome,
    QueryOutcome,
    QueryRequest,
)
from consul_kernel.contracts.transport import Address

from .streams import StreamMessage

# --- inputs ---


@dataclass(frozen=True, slots=True)
class Started:
    """Begin: become a pool of one, and start the timers.

    The Lamport times are the last ones seen in an earlier life; what is not later than they are is old news.
    """

    member_time: int = 0
    event_time: int = 0
    query_time: int = 0


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The deadline may have passed; too early is harmless."""


@dataclass(frozen=True, slots=True)
class PacketReceived:
    """One packet in plain form: opened and without its label.

    `arrived_us` is when it came off the network, on the finer clock of `step`; without it, the step's time counts.
    """

    packet: bytes
    source: Address
    arrived_us: int | None = None


@dataclass(frozen=True, slots=True)
class StreamReceived:
    """A peer opened a stream and sent this; answered by one `Answer` with the same `stream_id`."""

    stream_id: int
    message: StreamMessage
    source: Address


@dataclass(frozen=True, slots=True)
class ReplyReceived:
    """The answer to the `Dial` of this id."""

    dial_id: int
    message: StreamMessage


@dataclass(frozen=True, slots=True)
class DialFailed:
    """The `Dial` of this id came to nothing."""

    dial_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Join:
    """Exchange states with one address and take over what it knows."""

    command_id: int
    address: Address


@dataclass(frozen=True, slots=True)
class AnnounceJoin:
    """Tell everybody that this agent has joined: once after a round of joins."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Leave on purpose; done when that has been sent, or after the bounded waits."""

    command_id: int


@dataclass(frozen=True, slots=True)
class ForceLeave:
    """Turn a failed member into a left one, everywhere."""

    command_id: int
    name: str
    prune: bool


@dataclass(frozen=True, slots=True)
class SetTags:
    """Replace this agent's tags; done when that has been sent, or after the broadcast timeout."""

    command_id: int
    tags: Mapping[str, str] = field(hash=False)


@dataclass(frozen=True, slots=True)
class SendUserEvent:
    """Spread a named message."""

    command_id: int
    name: str
    payload: bytes
    coalesce: bool


@dataclass(frozen=True, slots=True)
class AskQuery:
    """Ask the pool; done with a `QueryOutcome`."""

    command_id: int
    request: QueryRequest


@dataclass(frozen=True, slots=True)
class OperateKeyring:
    """Work on every ring of the pool; done with a `KeyringOutcome`."""

    command_id: int
    operation: KeyOperation
    key: bytes
    relay_factor: int


Command = Join | AnnounceJoin | Leave | ForceLeave | SetTags | SendUserEvent | AskQuery | OperateKeyring
Input = Started | TimerFired | PacketReceived | StreamReceived | ReplyReceived | DialFailed | Command

# --- effects ---


@dataclass(frozen=True, slots=True)
class SendPacket:
    """Seal, label and send one packet."""

    to: Address
    packet: bytes


@dataclass(frozen=True, slots=True)
class Dial:
    """Open a stream, send the request, read one message; report ReplyReceived or DialFailed within the time."""

    dial_id: int
    to: Address
    request: bytes
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer an incoming stream, or close it without a word when `reply` is None."""

    stream_id: int
    reply: bytes | None


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell the application. `is_kept`: a `Keep` has told of it before."""

    event: GossipEvent
    is_kept: bool = False


@dataclass(frozen=True, slots=True)
class Keep:
    """Take note of a member's change, for a later life; the application is told later, if at all."""

    event: MemberEvent


@dataclass(frozen=True, slots=True)
class CommandDone:
    """A local command is finished; `error` says what was wrong with it, `outcome` what was found."""

    command_id: int
    error: str | None = None
    outcome: QueryOutcome | KeyringOutcome | None = None


@dataclass(frozen=True, slots=True)
class Warn:
    """Something that an operator should read."""

    text: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """This agent has no place in the pool any more: stop without a word."""

    reason: str


Effect = SendPacket | Dial | Answer | Notify | Keep | CommandDone | Warn | GiveUp
