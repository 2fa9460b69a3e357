"""A frozen view of the state: a read transaction of LMDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from consul_kernel.contracts.errors import StoreError

from .reading import Failed, Transaction, read_range, read_tables, read_value


class DiskStateSnapshot:
    """What it sees stays on disk until it is closed, or ended because the map could not grow under it.

    `failed` says what an error of LMDB means, `on_close` is called once it is closed or ended.
    """

    def __init__(self, transaction: Transaction, failed: Failed, on_close: Callable[[DiskStateSnapshot], None]) -> None:
        self._transaction: Transaction | None = transaction
        self._failed = failed
        self._on_close = on_close
        self._over = "the snapshot of the state is closed"

    def get(self, table: str, key: bytes) -> bytes | None:
        return read_value(self._live(), table, key, self._failed)

    def range(
        self, table: str, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return read_range(self._live(), table, start, stop, reverse, self._failed)

    def tables(self) -> Sequence[str]:
        return read_tables(self._live(), self._failed)

    def close(self) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            transaction.abort()
            self._on_close(self)

    def end(self, why: str) -> None:
        """Close it for its owner: who reads on is told why."""
        self._over = why
        self.close()

    def _live(self) -> Transaction:
        if self._transaction is None:
            raise StoreError(self._over)
        return self._transaction
