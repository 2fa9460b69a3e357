"""Who may be a member: the application's veto, and room in the list."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Final

from consul_kernel.contracts.errors import PeerProtocolError
from consul_kernel.contracts.membership import Member, MemberStatus

from .application import Application
from .environment import Environment
from .messages import Alive, NodeState, RemoteNode
from .roster import Roster, describe
from .versions import VERSION_BYTES
from .wire import unpack_address

_REFUSALS_MAX: Final = 256
_STATUS: Final = {
    NodeState.ALIVE: MemberStatus.ALIVE,
    NodeState.SUSPECT: MemberStatus.ALIVE,
    NodeState.DEAD: MemberStatus.FAILED,
    NodeState.LEFT: MemberStatus.LEFT,
}


class Admission:
    """Asks `accept` about each member that is new or changed, and `accept_list` about all that come in one join;
    `own_name` needs no leave.
    """

    def __init__(self, env: Environment, own_name: str, roster: Roster, application: Application) -> None:
        self._env = env
        self._own_name = own_name
        self._roster = roster
        self._accept = application.accept
        self._accept_list = application.accept_list
        self._refusals: dict[str, str] = {}

    def refuses(self, alive: Alive) -> bool:
        """Whether this node may not be here: its tags cannot be read, the application says no, or there is no room."""
        try:
            if self._refusal(_describe(alive, NodeState.ALIVE)) is not None:
                return True
        except PeerProtocolError as error:
            self._note_refusal(alive.node, f"Member '{alive.node}' has bad tags: {error}")
            return True
        return self._roster.get(alive.node) is None and not self._roster.make_room()

    def check_merge(self, nodes: Sequence[RemoteNode]) -> Generator[None, None, str | None]:
        """The first reason against a list of nodes that joins us, or that we join; yields after each node."""
        members: list[Member] = []
        for entry in nodes:
            yield
            if entry.alive.node == self._own_name or len(entry.alive.versions) < VERSION_BYTES:
                continue
            try:
                member = _describe(entry.alive, entry.state)
            except PeerProtocolError:
                continue
            reason = self._refusal(member)
            if reason is not None:
                return reason
            members.append(member)
        return None if self._accept_list is None else self._accept_list(members)

    def _refusal(self, member: Member) -> str | None:
        reason = None if self._accept is None else self._accept(member)
        if reason is not None:
            self._note_refusal(member.name, reason)
        return reason

    def _note_refusal(self, name: str, reason: str) -> None:
        """Count every refusal; report one only when it is news."""
        self._env.count("members_refused")
        if self._refusals.pop(name, None) != reason:
            self._env.warn(f"member refused: {reason}")
        if len(self._refusals) >= _REFUSALS_MAX:
            del self._refusals[next(iter(self._refusals))]
        self._refusals[name] = reason


def _describe(alive: Alive, state: NodeState) -> Member:
    address = unpack_address(alive.host, alive.port)
    return describe(alive.node, address, alive.meta, alive.versions, _STATUS[state])
