"""The replicated state machine: commands, tables, queries, watches."""

from .commands import CommandType, TombstoneRequest, encode_command
from .machine import ReplicatedState
from .watches import Topic, Watches

__all__ = ["CommandType", "ReplicatedState", "TombstoneRequest", "Topic", "Watches", "encode_command"]
