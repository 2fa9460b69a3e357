"""How far a long command is: a bar on a terminal, and now and then a line elsewhere. Both go to standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LINE_EVERY_S = 10.0

Show = Callable[[float, str], None]


@contextmanager
def shown_progress(title: str, *, quiet: bool = False) -> Iterator[Show]:
    """A function that takes a share from 0 to 1 and a few words."""
    if quiet:
        yield lambda share, text: None
    elif sys.stderr.isatty():
        with _bar(title) as show:
            yield show
    else:
        yield _Lines(title).show


@contextmanager
def _bar(title: str) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[text]}"), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=1.0, text="")
        yield lambda share, text: bar.update(task, completed=share, text=text)


class _Lines:
    """A line at most every ten seconds."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._last_s = time.monotonic()

    def show(self, share: float, text: str) -> None:
        now_s = time.monotonic()
        if now_s - self._last_s >= _LINE_EVERY_S:
            self._last_s = now_s
            print(f"{self._title}: {share:.0%}, {text}", file=sys.stderr)
