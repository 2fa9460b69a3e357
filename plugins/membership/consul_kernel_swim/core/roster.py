"""Serf's view of the members: alive, leaving, left or failed, decided by intents and by what SWIM finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from consul_kernel.contracts.membership import Member, MemberEvent, MemberEventKind, MemberStatus
from consul_kernel.contracts.transport import Address

from .environment import Environment
from .layered import Layered
from .messages import NodeState
from .nodes import Node
from .serf_messages import JoinIntent, LeaveIntent
from .settings import NAME_LENGTH_MAX
from .tags import decode_tags

_INTENTS_MAX = 4_096
"""Intents about members not yet known; when full, the oldest makes room."""

_GONE = (MemberStatus.FAILED, MemberStatus.LEFT)
_LISTED = (MemberStatus.LEAVING, MemberStatus.LEFT, MemberStatus.FAILED)
_ROOM_FRACTION = 16
"""This part of a full list is forgotten at once, so that it is not searched for each newcomer."""


class Record:
    """One member and when it changed: `status_time` is Lamport's, `gone_ms` ours, since when it is not alive."""

    __slots__ = ("gone_ms", "is_pruned", "member", "status_time")

    def __init__(self, member: Member, status_time: int = 0) -> None:
        self.member = member
        self.status_time = status_time
        self.gone_ms = 0
        self.is_pruned = False

    def copy(self) -> Record:
        """Another record of the same content."""
        record = Record(self.member, self.status_time)
        record.gone_ms = self.gone_ms
        record.is_pruned = self.is_pruned
        return record


def describe(node_name: str, address: Address, meta: bytes, versions: bytes, status: MemberStatus) -> Member:
    """A member as the contract shows it. `versions` has 6 bytes. Raises PeerProtocolError for bad tags."""
    return Member(
        name=node_name,
        address=address,
        tags=decode_tags(meta),
        status=status,
        protocol_min=versions[0],
        protocol_max=versions[1],
        protocol_cur=versions[2],
        delegate_min=versions[3],
        delegate_max=versions[4],
        delegate_cur=versions[5],
    )


def _describe_node(node: Node, status: MemberStatus) -> Member:
    return describe(node.name, node.address, node.meta, node.versions, status)


def _with_status(member: Member, status: MemberStatus) -> Member:
    return Member(
        name=member.name,
        address=member.address,
        tags=member.tags,
        status=status,
        protocol_min=member.protocol_min,
        protocol_max=member.protocol_max,
        protocol_cur=member.protocol_cur,
        delegate_min=member.delegate_min,
        delegate_max=member.delegate_max,
        delegate_cur=member.delegate_cur,
    )


class Roster:
    """All members by name. `tell` hears of each change; `refute` is called when a leave intent about us is wrong.

    `timeout_of` may give a failed or left member another time, in ms, after which it is forgotten.
    """

    def __init__(
        self,
        env: Environment,
        own_name: str,
        refute: Callable[[], None],
        tell: Callable[[MemberEvent], None],
        timeout_of: Callable[[Member], int | None] | None = None,
        changed: set[str] | None = None,
    ) -> None:
        self._env = env
        self._own_name = own_name
        self._refute = refute
        self._notify = tell
        self._timeout_of = timeout_of
        self._changed = changed
        self._records: Layered[Record] = Layered(Record.copy, changed)
        self._listed: dict[MemberStatus, dict[str, None]] = {status: {} for status in _LISTED}
        """The names of those who are not alive, by their status, in the order in which they got it."""
        self._intents: dict[str, tuple[int, bool, int]] = {}
        self._view: tuple[Member, ...] | None = ()
        self.is_leaving = False
        self.on_erased: Callable[[str], None] = lambda name: None
        """Called when a member is forgotten."""

    def __len__(self) -> int:
        return len(self._records)

    def members(self) -> tuple[Member, ...]:
        """Everyone known, in order of arrival; built anew only after a change."""
        if self._view is None:
            self._view = tuple(record.member for record in self._records.values())
        return self._view

    def get(self, name: str) -> Member | None:
        record = self._records.peek(name)
        return None if record is None else record.member

    def status_times(self) -> dict[str, int]:
        return {record.member.name: record.status_time for record in self._records.values()}

    def names(self) -> list[str]:
        """Of everyone known."""
        return [record.member.name for record in self._records.values()]

    def status_time(self, name: str) -> int | None:
        """The Lamport time of the last intent about a member; None for nobody known."""
        record = self._records.peek(name)
        return None if record is None else record.status_time

    def count(self, status: MemberStatus) -> int:
        """How many have this status."""
        if status is MemberStatus.ALIVE:
            return len(self._records) - sum(map(len, self._listed.values()))
        return len(self._listed[status])

    def listed(self, status: MemberStatus) -> list[Member]:
        """Who is leaving, has left or has failed, in the order in which they did."""
        records = (self._records.peek(name) for name in self._listed[status])
        return [record.member for record in records if record is not None]

    def alive(self) -> list[Member]:
        """Everyone alive, this agent included."""
        return [member for member in self.members() if member.status is MemberStatus.ALIVE]

    def others_alive(self) -> bool:
        """Whether anybody else could hear us."""
        return any(
            record.member.status is MemberStatus.ALIVE and record.member.name != self._own_name
            for record in self._records.values()
        )

    # --- what SWIM finds ---

    def joined(self, node: Node) -> None:
        record = self._records.get(node.name)
        member = _describe_node(node, MemberStatus.ALIVE)
        if record is None:
            record = Record(member)
            self._records.put(node.name, record)
            self._apply_buffered_intent(record)
        else:
            record.gone_ms = 0
            self._unlist(record)
            record.member = member
        self._tell(MemberEventKind.JOIN, record)

    def _apply_buffered_intent(self, record: Record) -> None:
        intent = self._intents.pop(record.member.name, None)
        if intent is None:
            return
        record.status_time, leaving, _ = intent
        if leaving:
            self._set_leaving(record)

    def left(self, node: Node) -> None:
        record = self._records.get(node.name)
        if record is None:
            return
        # A node's own word that it leaves may overtake its leave intent; Serf then shows it as failed for a moment.
        said_so = node.state is NodeState.LEFT and record.member.status is MemberStatus.ALIVE
        if record.member.status is MemberStatus.LEAVING or said_so:
            self._set_gone(record, MemberStatus.LEFT, MemberEventKind.LEAVE)
        elif record.member.status is MemberStatus.ALIVE:
            self._set_gone(record, MemberStatus.FAILED, MemberEventKind.FAILED)

    def updated(self, node: Node) -> None:
        record = self._records.get(node.name)
        if record is not None:
            record.member = _describe_node(node, record.member.status)
            self._tell(MemberEventKind.UPDATE, record)

    # --- intents ---

    def leave_intended(self, intent: LeaveIntent) -> bool:
        """Take note that a member means to leave; whether to pass the message on."""
        record = self._records.peek(intent.node)
        if record is None:
            return self._buffer(intent.node, intent.lamport_time, leaving=True)
        if intent.lamport_time <= record.status_time:
            return False
        if intent.node == self._own_name and not self.is_leaving:
            self._refute()
            return False
        record = self._records.get(intent.node) or record
        record.status_time = intent.lamport_time
        if record.member.status is MemberStatus.ALIVE:
            self._set_leaving(record)
        elif record.member.status is MemberStatus.FAILED:
            self._set_gone(record, MemberStatus.LEFT, MemberEventKind.LEAVE)
        if intent.prune:
            self._prune(record)
        return True

    def join_intended(self, intent: JoinIntent) -> bool:
        """Take note that a member has joined; whether to pass the message on."""
        record = self._records.peek(intent.node)
        if record is None:
            return self._buffer(intent.node, intent.lamport_time, leaving=False)
        if intent.lamport_time <= record.status_time:
            return False
        record = self._records.get(intent.node) or record
        record.status_time = intent.lamport_time
        own = intent.node == self._own_name
        if record.member.status is MemberStatus.LEAVING and not (own and self.is_leaving):
            self._set_status(record, MemberStatus.ALIVE)
        return True

    def has_news_since(self, name: str, lamport_time: int) -> bool:
        """Whether an intent of this time would change nothing, as the last one about the member is not older."""
        record = self._records.peek(name)
        return record is not None and lamport_time <= record.status_time

    def leave_time(self, name: str) -> int | None:
        """The Lamport time of the intent to leave of a member that is still there; None where there is none."""
        record = self._records.peek(name)
        return record.status_time if record is not None and record.member.status is MemberStatus.LEAVING else None

    def _buffer(self, name: str, lamport_time: int, *, leaving: bool) -> bool:
        """Keep the newest intent about somebody unknown."""
        known = self._intents.get(name)
        if (known is not None and known[0] >= lamport_time) or len(name) > NAME_LENGTH_MAX:
            return False
        if known is None and len(self._intents) >= _INTENTS_MAX:
            del self._intents[next(iter(self._intents))]
        self._intents[name] = (lamport_time, leaving, self._env.now_ms)
        return True

    def _prune(self, record: Record) -> None:
        if record.member.name == self._own_name:
            return
        if record.member.status is not MemberStatus.LEAVING:
            self._erase(record)
            return
        if not record.is_pruned:
            record.is_pruned = True
            self._prune_later(record)

    def _prune_later(self, record: Record) -> None:
        """Erase who is leaving when it has left: as long as SWIM finds it there, it stays listed."""

        def look() -> None:
            if record.member.status is MemberStatus.LEAVING:
                self._prune_later(record)
                return
            record.is_pruned = False
            if record.member.status in _GONE:
                self._erase(record)

        settings = self._env.settings
        self._env.after(settings.broadcast_timeout_ms + settings.leave_propagate_delay_ms, look)

    # --- time ---

    def reap(self) -> None:
        """Forget who has failed or left for too long, and intents that nobody came for."""
        settings, now_ms = self._env.settings, self._env.now_ms
        for name in (*self._listed[MemberStatus.FAILED], *self._listed[MemberStatus.LEFT]):
            record = self._records.peek(name)
            if record is None or name == self._own_name:
                continue
            if now_ms - record.gone_ms > self._kept_for_ms(record.member):
                self._erase(record)
        self._end_false_leaves()
        for name, (_, _, noted_ms) in list(self._intents.items()):
            if now_ms - noted_ms > settings.recent_intent_timeout_ms:
                del self._intents[name]

    def _end_false_leaves(self) -> None:
        """Whoever is still alive long after a leave must have ended does not leave.

        The intent was one of an earlier life: where it has the Lamport time of the new life's join, which happens when
        both were stamped at clocks of the same time, no later message contradicts it.
        """
        settings = self._env.settings
        longest_ms = 2 * (settings.broadcast_timeout_ms + settings.leave_propagate_delay_ms)
        for name in list(self._listed[MemberStatus.LEAVING]):
            record = self._records.get(name)
            if record is not None and name != self._own_name and self._env.now_ms - record.gone_ms > longest_ms:
                self._env.count("leaves_not_meant")
                self._set_status(record, MemberStatus.ALIVE)

    def _kept_for_ms(self, member: Member) -> int:
        """How long somebody gone stays listed: what the member asked for goes before what the pool does."""
        own_wish = None if self._timeout_of is None else self._timeout_of(member)
        if own_wish is not None:
            return own_wish
        settings = self._env.settings
        failed = member.status is MemberStatus.FAILED
        return settings.reconnect_timeout_ms if failed else settings.tombstone_timeout_ms

    def make_room(self) -> bool:
        """Whether another member can be taken in. Where the list is full, some of those gone longest are forgotten."""
        limit = self._env.settings.members_max
        if len(self._records) >= limit:
            names = (*self._listed[MemberStatus.FAILED], *self._listed[MemberStatus.LEFT])
            records = (self._records.peek(name) for name in names if name != self._own_name)
            gone = sorted((record for record in records if record is not None), key=lambda record: record.gone_ms)
            for record in gone[: max(1, limit // _ROOM_FRACTION)]:
                self._env.count("members_forgotten_early")
                self._erase(record)
        if len(self._records) < limit:
            return True
        self._env.count("members_over_limit")
        return False

    # --- changes ---

    def _set_status(self, record: Record, status: MemberStatus) -> None:
        self._unlist(record)
        record.member = _with_status(record.member, status)
        if status in self._listed:
            self._listed[status][record.member.name] = None
        self._view = None

    def _set_leaving(self, record: Record) -> None:
        record.gone_ms = self._env.now_ms
        self._set_status(record, MemberStatus.LEAVING)

    def _set_gone(self, record: Record, status: MemberStatus, kind: MemberEventKind) -> None:
        record.gone_ms = self._env.now_ms
        self._set_status(record, status)
        self._tell(kind, record)

    def _unlist(self, record: Record) -> None:
        """Take a member off the list of its status."""
        names = self._listed.get(record.member.status)
        if names is not None:
            names.pop(record.member.name, None)

    def _erase(self, record: Record) -> None:
        if self._records.peek(record.member.name) is record:
            self._unlist(record)
            self._records.remove(record.member.name)
            self.on_erased(record.member.name)
            self._tell(MemberEventKind.REAP, record)

    def _tell(self, kind: MemberEventKind, record: Record) -> None:
        self._view = None
        self._notify(MemberEvent(kind, record.member))

    # --- lists that many agents share ---

    def shared(self) -> Mapping[str, Record]:
        """The members as they are, none of them gone, for other agents' lists to lie over."""
        return self._records.shared()

    def lie_over(self, base: Mapping[str, Record]) -> None:
        """Know all that is in `base`, this agent among it, instead of what was known before."""
        self._records = Layered(Record.copy, self._changed)
        self._records.lie_over(base)
        self._view = None
