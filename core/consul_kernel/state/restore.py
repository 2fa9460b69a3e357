"""Restoring an archive by commands: the log orders it as it orders every write.

The leader sends the rows of another state in pieces, which every server stages beside its own state (`generations`),
and then one command that makes the staged state the state. So all servers replace theirs at the same place of the log,
nobody sees half of it, what the log had before cannot come back, and a restore that does not get as far has not
happened. Another `begin`, or `abort`, gives up what is staged.

Records keep the indexes that they had where the archive was made, and no later write may get one of these: the commit
raises the offset between log index and index of the state where that is needed (Consul lets its log jump instead).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from msgspec import field

from consul_kernel.contracts.errors import RequestError
from consul_kernel.contracts.store import MAX_KEY_BYTES
from consul_kernel.structs.query import DatacenterRequest

from .generations import NOTES_TABLE
from .keys import pack_index, unpack_index
from .machine_table import MACHINE_TABLE, set_index_offset
from .tables import Reader
from .tombstones import set_horizon
from .transaction import Transaction

RESTORE_TABLE = "restore"
"""What is known of a restore under way: its id, and the number of pieces that were staged."""
TABLE_NAME_BYTES = 48
MAX_INDEX = 1 << 62

_ID = b"id"
_PIECES = b"pieces"


class RestoreOp(StrEnum):
    """The steps of a restore."""

    BEGIN = "begin"
    ROWS = "rows"
    COMMIT = "commit"
    ABORT = "abort"


class RestoreRequest(DatacenterRequest, kw_only=True):
    """One step of the restore with this id.

    `rows`: piece `number` (from 0), of keys and values by turns under their table's name. `commit`: after `number`
    pieces, and no index up to `index` is given again. `abort`: with "" for the id, whichever restore is under way.
    """

    op: str = ""
    id: str = ""
    number: int = 0
    index: int = 0
    rows: dict[str, list[bytes]] = field(default_factory=dict)


def restore_under_way(reader: Reader) -> str:
    """The id of the restore whose rows are staged, or ""."""
    value = reader.get(RESTORE_TABLE, _ID)
    return value.decode() if value else ""


def apply_restore(transaction: Transaction, request: RestoreRequest) -> bool:
    """Carry out a step. RequestError when it does not follow on the last, or carries what no state has."""
    operation = _OPERATIONS.get(request.op)
    if operation is None:
        raise RequestError(f"Invalid restore operation '{request.op}'")
    operation(transaction, request)
    return True


def _begin(transaction: Transaction, request: RestoreRequest) -> None:
    if not request.id:
        raise RequestError("a restore needs an id")
    transaction.put(RESTORE_TABLE, _ID, request.id.encode())
    transaction.put(RESTORE_TABLE, _PIECES, pack_index(0))
    transaction.stage()


def _rows(transaction: Transaction, request: RestoreRequest) -> None:
    _require_next(transaction, request)
    for table, pairs in request.rows.items():
        require_rows(table, pairs)
    for table, pairs in request.rows.items():
        transaction.put_staged(table, pairs)
    transaction.put(RESTORE_TABLE, _PIECES, pack_index(request.number + 1))


def _commit(transaction: Transaction, request: RestoreRequest) -> None:
    _require_next(transaction, request)
    if not 0 <= request.index < MAX_INDEX:
        raise RequestError(f"no state has the index {request.index}")
    log_index = transaction.index - transaction.offset
    transaction.replace_state(max(transaction.index, request.index + 1) - log_index)
    set_index_offset(transaction)
    set_horizon(transaction, transaction.index)


def _abort(transaction: Transaction, request: RestoreRequest) -> None:
    under_way = restore_under_way(transaction)
    if under_way and request.id in ("", under_way):
        transaction.delete(RESTORE_TABLE, _ID)
        transaction.delete(RESTORE_TABLE, _PIECES)
        transaction.unstage()


def _require_next(transaction: Transaction, request: RestoreRequest) -> None:
    if restore_under_way(transaction) != request.id or not request.id:
        raise RequestError("the restore was given up: another one began, or the leader changed")
    pieces = transaction.get(RESTORE_TABLE, _PIECES)
    if pieces is None or unpack_index(pieces) != request.number:
        raise RequestError(f"piece {request.number} of the restore does not follow on the last")


def require_rows(table: str, pairs: list[bytes]) -> None:
    """RequestError for what no store would take: every server applies it, and must not fail over it."""
    if not table.isascii() or not table.isprintable() or "/" in table or not 0 < len(table) <= TABLE_NAME_BYTES:
        raise RequestError(f"no table has the name {table[:100]!r}")
    if table in (RESTORE_TABLE, MACHINE_TABLE, NOTES_TABLE):
        raise RequestError(f"table {table} is not restored")
    if len(pairs) % 2:
        raise RequestError(f"table {table} has a key without a value")
    if any(not 0 < len(key) <= MAX_KEY_BYTES for key in pairs[::2]):
        raise RequestError(f"table {table} has a key whose length is not 1 to {MAX_KEY_BYTES} bytes")


_OPERATIONS: dict[str, Callable[[Transaction, RestoreRequest], None]] = {
    RestoreOp.BEGIN: _begin,
    RestoreOp.ROWS: _rows,
    RestoreOp.COMMIT: _commit,
    RestoreOp.ABORT: _abort,
}
