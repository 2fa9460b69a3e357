"""What goes into the core and what comes out: frozen records, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

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


class Started(Struct, frozen=True):
    """Begin: become a pool of one, and start the timers.

    The Lamport times are the last ones seen in an earlier life; what is not later than they are is old news.
    """

    member_time: int = 0
    event_time: int = 0
    query_time: int = 0


class TimerFired(Struct, frozen=True):
    """The deadline may have passed; too early is harmless."""


class PacketReceived(Struct, frozen=True, gc=False):
    """One packet in plain form: opened and without its label.

    `arrived_us` is when it came off the network, on the finer clock of `step`; without it, the step's time counts.
    `is_late`: it had to wait there, since this agent was busy or stood still, and measures no way.
    """

    packet: bytes
    source: Address
    arrived_us: int | None = None
    is_late: bool = False


class StreamReceived(Struct, frozen=True):
    """A peer opened a stream and sent this; answered by one `Answer` with the same `stream_id`."""

    stream_id: int
    message: StreamMessage
    source: Address


class ReplyReceived(Struct, frozen=True):
    """The answer to the `Dial` of this id."""

    dial_id: int
    message: StreamMessage


class DialFailed(Struct, frozen=True):
    """The `Dial` of this id came to nothing."""

    dial_id: int
    reason: str


class Join(Struct, frozen=True):
    """Exchange states with one address and take over what it knows."""

    command_id: int
    address: Address


class AnnounceJoin(Struct, frozen=True):
    """Tell everybody that this agent has joined: once after a round of joins."""


class Leave(Struct, frozen=True):
    """Leave on purpose; done when that has been sent, or after the bounded waits."""

    command_id: int


class ForceLeave(Struct, frozen=True):
    """Turn a failed member into a left one, everywhere."""

    command_id: int
    name: str
    prune: bool


class SetTags(Struct, frozen=True):
    """Replace this agent's tags; done when that has been sent, or after the broadcast timeout."""

    command_id: int
    tags: Mapping[str, str]


class SendUserEvent(Struct, frozen=True):
    """Spread a named message."""

    command_id: int
    name: str
    payload: bytes
    coalesce: bool


class AskQuery(Struct, frozen=True):
    """Ask the pool; done with a `QueryOutcome`."""

    command_id: int
    request: QueryRequest


class OperateKeyring(Struct, frozen=True):
    """Work on every ring of the pool; done with a `KeyringOutcome`."""

    command_id: int
    operation: KeyOperation
    key: bytes
    relay_factor: int


Command = Join | AnnounceJoin | Leave | ForceLeave | SetTags | SendUserEvent | AskQuery | OperateKeyring
Input = Started | TimerFired | PacketReceived | StreamReceived | ReplyReceived | DialFailed | Command

# --- effects ---


class SendPacket(Struct, frozen=True, gc=False):
    """Seal, label and send one packet."""

    to: Address
    packet: bytes


class Dial(Struct, frozen=True):
    """Open a stream, send the request, read one message; report ReplyReceived or DialFailed within the time."""

    dial_id: int
    to: Address
    request: bytes
    timeout_ms: int


class Answer(Struct, frozen=True):
    """Answer an incoming stream, or close it without a word when `reply` is None."""

    stream_id: int
    reply: bytes | None


class Notify(Struct, frozen=True):
    """Tell the application. `is_kept`: a `Keep` has told of it before."""

    event: GossipEvent
    is_kept: bool = False


class Keep(Struct, frozen=True):
    """Take note of a member's change, for a later life; the application is told later, if at all."""

    event: MemberEvent


class CommandDone(Struct, frozen=True):
    """A local command is finished; `error` says what was wrong with it, `outcome` what was found."""

    command_id: int
    error: str | None = None
    outcome: QueryOutcome | KeyringOutcome | None = None


class Warn(Struct, frozen=True):
    """Something that an operator should read."""

    text: str


class GiveUp(Struct, frozen=True):
    """This agent has no place in the pool any more: stop without a word."""

    reason: str


Effect = SendPacket | Dial | Answer | Notify | Keep | CommandDone | Warn | GiveUp
