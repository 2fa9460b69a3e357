"""What the groups of a regular expression matched, in time that grows with the text alone.

All alternatives run at once, in the order in which a backtracking matcher would try them, each with the places that it
has noted: of those that match, the first counts (R. Pike's machine, as R. Cox describes it in "Regular Expression
Matching: the Virtual Machine Approach", 2009). So the answer is that of Go's `FindStringSubmatch`.
"""

from __future__ import annotations

from .regexp import holds
from .regexp_syntax import Op, compile_program

_Places = tuple[int, ...]
_Run = tuple[int, _Places]
"""Where a run is in the program, and the places that it has noted."""


class GroupRegexp:
    """A compiled expression. RegexpError when the text is none."""

    __slots__ = ("_nowhere", "_program")

    def __init__(self, text: str) -> None:
        self._program = compile_program(text, saves_groups=True)
        numbers = [instruction.first for instruction in self._program if instruction.op is Op.SAVE]
        self._nowhere: _Places = (-1,) * (max(numbers, default=1) + 1)

    @property
    def size(self) -> int:
        """Instructions of its program: the most steps that `find` takes for one character."""
        return len(self._program)

    def find(self, text: str) -> list[str]:
        """The leftmost match and what each of its groups matched, "" for one that took no part; [] for no match."""
        places = self._run(text)
        if places is None:
            return []
        ends = zip(places[::2], places[1::2], strict=True)
        return [text[start:end] if start >= 0 and end >= 0 else "" for start, end in ends]

    def _run(self, text: str) -> _Places | None:
        program = self._program
        matched: _Places | None = None
        runs: list[_Run] = []
        for at in range(len(text) + 1):
            if matched is None:
                runs.append((0, (at, *self._nowhere[1:])))
            elif not runs:
                break
            character = text[at : at + 1]
            following: list[_Run] = []
            for place, noted in self._reached(runs, text[at - 1 : at] if at else "", character, at):
                instruction = program[place]
                if instruction.op is Op.MATCH:
                    matched = (noted[0], at, *noted[2:])
                    break
                if character and instruction.accepts is not None and instruction.accepts(character):
                    following.append((place + 1, noted))
            runs = following
        return matched

    def _reached(self, runs: list[_Run], before: str, character: str, at: int) -> list[_Run]:
        """Where the runs can be without reading the character, in their order; of two in one place, the first."""
        seen: set[int] = set()
        reached: list[_Run] = []
        todo = runs[::-1]
        while todo:
            place, noted = todo.pop()
            if place in seen:
                continue
            seen.add(place)
            instruction = self._program[place]
            if instruction.op is Op.SPLIT:
                todo.append((place + instruction.second, noted))
                todo.append((place + instruction.first, noted))
            elif instruction.op is Op.JUMP:
                todo.append((place + instruction.first, noted))
            elif instruction.op is Op.SAVE:
                number = instruction.first
                todo.append((place + 1, (*noted[:number], at, *noted[number + 1 :])))
            elif instruction.op in (Op.CHARACTER, Op.MATCH):
                reached.append((place, noted))
            elif holds(instruction.op, before, character):
                todo.append((place + 1, noted))
        return reached
