"""A server whose disk is full: it does nothing that it could not write down, and whoever has room leads.

A leader cannot answer for what it cannot write or apply, and a candidate cannot vote for itself. It goes on as a
follower that confirms nothing, and takes part again as soon as there is room.
"""

from __future__ import annotations

from .events import OutOfRoom, RoomAgain
from .state import RaftState
from .transfer import give_way

STATE = "state"
LOG = "log"


def room_changed(state: RaftState, event: OutOfRoom | RoomAgain, now_ms: int) -> None:
    """Give way to a server that has room, until there is some here; one that is alone leads on, and takes nothing."""
    if isinstance(event, RoomAgain):
        state.without_room.discard(event.part)
        return
    state.without_room.add(event.part)
    if state.voters != {state.id}:
        give_way(state, now_ms)
