"""Matching in time that grows with the text alone.

Filter expressions come from anybody, and Python's own matcher can be made to take for ever by a few characters.
This one runs all alternatives at once (K. Thompson, "Regular expression search algorithm", 1968) and remembers
the steps it has taken, as Go's `regexp` does on which the expressions are defined.
"""

from __future__ import annotations

from collections.abc import Iterable

from consul_kernel.contracts.errors import RequestError

from .regexp_syntax import Op, compile_program, is_word

CACHED_STATES = 4096
MAX_WORK = 2_000_000
"""Some tenths of a second: nothing else happens in an agent while it matches."""
_NEW_STEP_WORK, _NEW_STATE_WORK = 24, 8
"""For a step that is not remembered, and for each of its states."""
_END = ""
_Key = tuple[frozenset[int], str, str]


class WorkError(RequestError):
    """Matching has cost as much as it may."""


class Work:
    """What the searches of some expressions may cost together: one for each character, more where a step is new."""

    __slots__ = ("left",)

    def __init__(self, left: int = MAX_WORK) -> None:
        self.left = left

    def take(self, cost: int) -> None:
        """Note a cost. WorkError once there is nothing left to pay it from."""
        self.left -= cost
        if self.left < 0:
            raise WorkError("The matching takes too long: there is too much text for such an expression")


class Regexp:
    """A compiled expression. RegexpError when the text is none; with `work`, searches raise WorkError beyond that."""

    __slots__ = ("_kept_states", "_program", "_steps", "_work")

    def __init__(self, text: str, work: Work | None = None) -> None:
        self._program = compile_program(text)
        self._work = work
        self._steps: dict[_Key, frozenset[int] | None] = {}
        self._kept_states = 0

    @property
    def size(self) -> int:
        """Instructions of its program: the most steps that a search takes for one character."""
        return len(self._program)

    def search(self, text: str) -> bool:
        """Whether the expression matches anywhere in the text."""
        if self._work is not None:
            self._work.take(len(text))
        states: frozenset[int] | None = frozenset()
        before = _END
        for character in text:
            states = self._step(states or frozenset(), before, character)
            if states is None:
                return True
            before = character
        return self._step(states or frozenset(), before, _END) is None

    def _step(self, states: frozenset[int], before: str, character: str) -> frozenset[int] | None:
        """The states after a character; None once there is a match.

        Steps are remembered until their states are CACHED_STATES together; then all are forgotten.
        """
        key = (states, before, character)
        if key in self._steps:
            return self._steps[key]
        if self._kept_states >= CACHED_STATES:
            self._steps.clear()
            self._kept_states = 0
        result = self._steps[key] = self._take_step(states, before, character)
        self._kept_states += len(states) + len(result or ()) + 1
        return result

    def _take_step(self, states: frozenset[int], before: str, character: str) -> frozenset[int] | None:
        program = self._program
        following: set[int] = set()
        reachable = self._reachable((0, *states), before, character)
        if self._work is not None:
            self._work.take(_NEW_STEP_WORK + _NEW_STATE_WORK * len(reachable))
        for at in reachable:
            instruction = program[at]
            if instruction.op is Op.MATCH:
                return None
            if character and instruction.accepts is not None and instruction.accepts(character):
                following.add(at + 1)
        return frozenset(following)

    def _reachable(self, states: Iterable[int], before: str, character: str) -> set[int]:
        """Where a run can be without reading the character."""
        seen: set[int] = set()
        todo = list(states)
        while todo:
            at = todo.pop()
            if at in seen:
                continue
            seen.add(at)
            instruction = self._program[at]
            if instruction.op is Op.SPLIT:
                todo += (at + instruction.first, at + instruction.second)
            elif instruction.op is Op.JUMP:
                todo.append(at + instruction.first)
            elif holds(instruction.op, before, character):
                todo.append(at + 1)
        return seen


def holds(op: Op, before: str, after: str) -> bool:
    """Whether an assertion is true between two characters, "" being an end of the text."""
    match op:
        case Op.START_OF_TEXT:
            return not before
        case Op.END_OF_TEXT:
            return not after
        case Op.START_OF_LINE:
            return before in ("", "\n")
        case Op.END_OF_LINE:
            return after in ("", "\n")
        case Op.WORD_BOUNDARY:
            return is_word(before) is not is_word(after)
        case Op.NO_WORD_BOUNDARY:
            return is_word(before) is is_word(after)
        case _:
            return False
