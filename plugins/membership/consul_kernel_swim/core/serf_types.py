"""Serf's numbers: message types, the flags of queries, and the size of its rings."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class SerfType(IntEnum):
    """The first byte of every Serf message."""

    LEAVE = 0
    JOIN = 1
    PUSH_PULL = 2
    USER_EVENT = 3
    QUERY = 4
    QUERY_RESPONSE = 5
    CONFLICT_RESPONSE = 6
    KEY_REQUEST = 7
    KEY_RESPONSE = 8
    RELAY = 9


QUERY_FLAG_ACK: Final = 1
"""In a query: an acknowledgement is wanted. In a response: this is one."""
QUERY_FLAG_NO_BROADCAST: Final = 2
EVENT_BUFFER: Final = 512
"""Slots of the rings of recent events and queries, in memory and, of events, in every push/pull."""
