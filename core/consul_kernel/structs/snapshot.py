"""Saving and restoring the whole state of a datacenter."""

from __future__ import annotations

from enum import IntEnum

from .query import DatacenterRequest, QueryMeta


class SnapshotOp(IntEnum):
    """What is asked for."""

    SAVE = 0
    RESTORE = 1


class SnapshotRequest(DatacenterRequest, kw_only=True):
    """A request for an archive, or to restore the one that follows. `allow_stale`: any server may save, not only the

    leader.
    """

    allow_stale: bool = False
    op: int = SnapshotOp.SAVE


class SnapshotResponse(QueryMeta, kw_only=True):
    """What precedes the archive that was asked for. `index` is that of the state in it."""

    error: str = ""
