"""What the state machine itself has in the replicated state."""

from __future__ import annotations

from .keys import pack_index, unpack_index
from .tables import Reader
from .transaction import Transaction

MACHINE_TABLE = "machine"

_INDEX_OFFSET = b"index_offset"


def index_offset(reader: Reader) -> int:
    """How far the state's indexes are ahead of the log's."""
    value = reader.get(MACHINE_TABLE, _INDEX_OFFSET)
    return 0 if value is None else unpack_index(value)


def set_index_offset(transaction: Transaction) -> None:
    """Write down the transaction's offset, which is the same as before or larger."""
    if transaction.offset:
        transaction.put(MACHINE_TABLE, _INDEX_OFFSET, pack_index(transaction.offset))
