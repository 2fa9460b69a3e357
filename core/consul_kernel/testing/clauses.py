"""What every kit says with: a clause of a contract that does not hold."""

from __future__ import annotations

from collections.abc import Awaitable


class ClauseError(AssertionError):
    """A clause does not hold; the text begins with its number."""


def require(holds: bool, clause: str) -> None:
    """Raise `ClauseError` with the clause unless it holds."""
    if not holds:
        raise ClauseError(clause)


async def require_raises(error: type[Exception], call: Awaitable[object], clause: str) -> None:
    """Raise `ClauseError` unless the call raises this error."""
    try:
        await call
    except error:
        return
    raise ClauseError(clause)
