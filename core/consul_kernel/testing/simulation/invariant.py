"""What must hold in a simulated world; one class, and one file, for each property."""

from __future__ import annotations

from typing import NoReturn


class ViolationError(AssertionError):
    """The world reached a state that must never be."""


class Invariant:
    """Looks on and remembers what it needs to see one moment in the light of the others.

    A world calls what its own base class of invariants declares (a step was made, a message goes out, all is calm);
    whoever finds the property broken says so by `require` or `fail`.
    """

    @property
    def name(self) -> str:
        """The class's name."""
        return type(self).__name__

    def require(self, holds: bool, text: str) -> None:
        """Raise ViolationError unless it holds."""
        if not holds:
            self.fail(text)

    def fail(self, text: str) -> NoReturn:
        """Raise ViolationError. Where much is looked at, this saves the text of what holds."""
        raise ViolationError(f"{self.name}: {text}")
