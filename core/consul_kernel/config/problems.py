"""What is wrong with a configuration: where, which key, what was expected, and the nearest key that exists."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from consul_kernel.contracts.errors import ConsulKernelError


@dataclass(frozen=True, slots=True, order=True)
class SourcePosition:
    """A place in a source. `line` and `column` count from 1; 0 where the source has no lines (a flag)."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One error or warning. `key` is the dotted path of the key, "" where there is none."""

    message: str
    position: SourcePosition | None = None
    key: str = ""
    suggestion: str = ""
    """The nearest valid key, or ""."""
    is_warning: bool = False

    def format(self) -> str:
        """One line for people: `agent.hcl:3: retry_joinn: unknown key; did you mean "retry_join"?`."""
        parts = [str(self.position)] if self.position is not None else []
        if self.key and not self.message.startswith(self.key):
            parts.append(self.key)
        text = self.message
        if self.suggestion:
            text = f'{text}; did you mean "{self.suggestion}"?'
        parts.append(text)
        return ": ".join(parts)

    def __str__(self) -> str:
        return self.format()


class ConfigErrors(ConsulKernelError):  # noqa: N818 - it carries many
    """A configuration that cannot be used. `problems` has every error that was found, in the order of the sources.

    `warnings` has what was noticed besides.
    """

    def __init__(self, problems: Iterable[ConfigProblem], warnings: Iterable[ConfigProblem] = ()) -> None:
        self.problems: Sequence[ConfigProblem] = tuple(problems)
        self.warnings: Sequence[ConfigProblem] = tuple(warnings)
        super().__init__("\n".join(problem.format() for problem in self.problems))


class SourceSyntaxError(Exception):
    """Text that is not in its format; carries the problem."""

    def __init__(self, problem: ConfigProblem) -> None:
        super().__init__(problem.format())
        self.problem = problem


class ProblemLog:
    """Collects problems while a configuration is read, so that all of them are shown at once.

    Bounded: after `MAX_PROBLEMS` errors further ones are only counted.
    """

    MAX_PROBLEMS = 200

    def __init__(self) -> None:
        self._errors: list[ConfigProblem] = []
        self._warnings: list[ConfigProblem] = []
        self._omitted = 0

    def error(
        self, message: str, position: SourcePosition | None = None, *, key: str = "", suggestion: str = ""
    ) -> None:
        """Note what prevents a start."""
        problem = ConfigProblem(message, position, key, suggestion)
        if problem in self._errors:
            return
        if len(self._errors) < self.MAX_PROBLEMS:
            self._errors.append(problem)
        else:
            self._omitted += 1

    def warn(self, message: str, position: SourcePosition | None = None, *, key: str = "") -> None:
        """Note what is worth knowing, once for each text and place."""
        problem = ConfigProblem(message, position, key, is_warning=True)
        if problem not in self._warnings and len(self._warnings) < self.MAX_PROBLEMS:
            self._warnings.append(problem)

    @property
    def is_full(self) -> bool:
        """Whether further errors are only counted, so that it's no use to word them well."""
        return len(self._errors) >= self.MAX_PROBLEMS

    @property
    def errors(self) -> Sequence[ConfigProblem]:
        """Errors so far."""
        ordered = _by_place(self._errors)
        if self._omitted:
            ordered.append(ConfigProblem(f"{self._omitted} more errors are not shown"))
        return ordered

    @property
    def warnings(self) -> Sequence[ConfigProblem]:
        """Warnings so far."""
        return _by_place(self._warnings)

    def raise_errors(self) -> None:
        """Raise ConfigErrors when there is any error."""
        if self._errors:
            raise ConfigErrors(self.errors, self.warnings)


def _by_place(problems: Sequence[ConfigProblem]) -> list[ConfigProblem]:
    """Problems in the order of the sources and their lines; those without a place last."""
    sources: dict[str, int] = {}
    for problem in problems:
        if problem.position is not None:
            sources.setdefault(problem.position.source, len(sources))

    def place(problem: ConfigProblem) -> tuple[int, int]:
        position = problem.position
        return (sources[position.source], position.line) if position is not None else (len(sources), 0)

    return sorted(problems, key=place)


_MAX_SUGGESTED_LENGTH = 64


def nearest_key(key: str, valid: Iterable[str]) -> str:
    """The valid key that looks most like `key`, or "" when none does.

    Underscores, dashes and case are not counted, so that `NodeName` finds `node_name`.
    """
    if not key or len(key) > _MAX_SUGGESTED_LENGTH:
        return ""
    by_plain: dict[str, str] = {}
    for name in valid:
        by_plain.setdefault(plain(name), name)
    found = difflib.get_close_matches(plain(key), by_plain, n=1, cutoff=0.7)
    return by_plain[found[0]] if found else ""


def plain(key: str) -> str:
    """A key without case, underscores and dashes, as Consul matches the fields of definitions."""
    return key.replace("_", "").replace("-", "").lower()
