"""One core with what Serf's layer needs around it, stepped by hand."""

from __future__ import annotations

import random
from collections.abc import Callable

from consul_kernel.contracts.membership import Member, MemberEvent, MemberEventKind, MemberStatus, UserEvent
from consul_kernel.contracts.membership_capabilities import (
    AnswerQuery,
    KeyOperation,
    KeyringOutcome,
    QueryOutcome,
    QueryRequest,
)
from consul_kernel.contracts.transport import Address
from consul_kernel_swim.core.events import (
    AskQuery,
    CommandDone,
    Effect,
    Input,
    Notify,
    OperateKeyring,
    PacketReceived,
    SendPacket,
    Started,
    TimerFired,
    Warn,
)
from consul_kernel_swim.core.keyring import Keyring
from consul_kernel_swim.core.messages import USER_BYTE, Alive, User, decode_message
from consul_kernel_swim.core.packets import split_packet
from consul_kernel_swim.core.query_messages import Query, QueryResponse
from consul_kernel_swim.core.serf_messages import SerfMessage, decode_serf
from consul_kernel_swim.core.settings import PROFILES, PROTOCOL_VERSIONS, Settings
from consul_kernel_swim.core.swim import Swim
from consul_kernel_swim.core.tags import encode_tags

OWN = Address("10.0.0.1", 7946)
PEER = Address("10.0.0.9", 4000)


class SerfBench:
    """The agent `own` at `OWN`, and what it did."""

    def __init__(
        self,
        settings: Settings = PROFILES["lan"],
        *,
        tags: dict[str, str] | None = None,
        answer_query: AnswerQuery | None = None,
        reconnect_timeout_of: Callable[[Member], int | None] | None = None,
        keyring: Keyring | None = None,
        others: int = 0,
    ) -> None:
        self.swim = Swim(
            "own",
            OWN,
            tags or {},
            settings,
            random.Random(1),
            answer_query=answer_query,
            reconnect_timeout_of=reconnect_timeout_of,
            keyring=keyring,
        )
        self.now_ms = 1_000_000
        self.effects: list[Effect] = []
        self.packets: list[tuple[Address, bytes]] = []
        self._last_command = 0
        self.do(Started())
        for number in range(1, others + 1):
            self.add(f"n{number}", number)

    # --- what a test does ---

    def do(self, event: Input) -> list[Effect]:
        effects = self.swim.step(event, self.now_ms)
        self.effects += effects
        self.packets += [(effect.to, effect.packet) for effect in effects if isinstance(effect, SendPacket)]
        return effects

    def receive(self, message: bytes) -> None:
        """A Serf message in a packet of its own, type byte first."""
        self.do(PacketReceived(USER_BYTE + message, PEER))

    def add(self, name: str, number: int, *, versions: bytes = PROTOCOL_VERSIONS, **tags: str) -> Address:
        """A member that is heard of."""
        alive = Alive(1, name, bytes((10, 0, 1, number)), 7946, encode_tags(tags), versions)
        self.do(PacketReceived(alive.encode(), PEER))
        return Address(f"10.0.1.{number}", 7946)

    def wait(self, ms: int) -> None:
        """Let time pass."""
        end = self.now_ms + ms
        while (deadline := self.swim.deadline_ms()) is not None and deadline <= end:
            self.now_ms = max(deadline, self.now_ms)
            self.do(TimerFired())
        self.now_ms = end

    def ask(self, name: str = "q", payload: bytes = b"", **options: object) -> int:
        """Start a query; the command's number."""
        self._last_command += 1
        request = QueryRequest(name=name, payload=payload, **options)  # type: ignore[arg-type]
        self.do(AskQuery(self._last_command, request))
        return self._last_command

    def operate(self, operation: KeyOperation, key: bytes = b"") -> int:
        """Start an operation on the keyring; the command's number."""
        self._last_command += 1
        self.do(OperateKeyring(self._last_command, operation, key, 0))
        return self._last_command

    def respond(self, query: Query, sender: str, payload: bytes | None, flags: int = 0) -> None:
        """A response from a member arrives."""
        self.receive(QueryResponse(query.lamport_time, query.query_id, sender, flags, payload).encode())

    # --- what a test sees ---

    def done(self, command: int) -> CommandDone | None:
        """How a command has ended."""
        ended = [effect for effect in self.effects if isinstance(effect, CommandDone) and effect.command_id == command]
        assert len(ended) <= 1
        return ended[0] if ended else None

    def error(self, command: int) -> str | None:
        done = self.done(command)
        assert done is not None
        return done.error

    def query_outcome(self, command: int) -> QueryOutcome:
        done = self.done(command)
        assert done is not None
        assert isinstance(done.outcome, QueryOutcome), done.error
        return done.outcome

    def keyring_outcome(self, command: int) -> KeyringOutcome:
        done = self.done(command)
        assert done is not None
        assert isinstance(done.outcome, KeyringOutcome), done.error
        return done.outcome

    def serf_sent(self, to: Address | None = None) -> list[SerfMessage]:
        """The Serf messages that were sent, to one address or to any."""
        sent: list[SerfMessage] = []
        for address, packet in self.packets:
            if to is None or to == address:
                bodies = [
                    message.body
                    for message in map(decode_message, split_packet(packet)[0])
                    if isinstance(message, User)
                ]
                sent += [message for message in map(decode_serf, bodies) if message is not None]
        return sent

    def asked(self) -> list[Query]:
        """The queries that this agent has gossiped, each once."""
        return list(dict.fromkeys(message for message in self.serf_sent() if isinstance(message, Query)))

    def events(self) -> list[MemberEvent | UserEvent]:
        return [effect.event for effect in self.effects if isinstance(effect, Notify)]

    def kinds(self, name: str) -> list[MemberEventKind]:
        return [event.kind for event in self.events() if isinstance(event, MemberEvent) and event.member.name == name]

    def user_events(self) -> list[tuple[str, bytes]]:
        return [(event.name, event.payload) for event in self.events() if isinstance(event, UserEvent)]

    def warnings(self) -> list[str]:
        return [effect.text for effect in self.effects if isinstance(effect, Warn)]

    def status(self, name: str) -> MemberStatus | None:
        return next((member.status for member in self.swim.members() if member.name == name), None)
