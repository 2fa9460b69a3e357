"""The agent's log: Consul's line format, or one JSON object a line, to standard error and perhaps a file."""

from __future__ import annotations

import logging
import logging.handlers
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec

_LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "err": logging.ERROR,
    "error": logging.ERROR,
}
_NAMES = {logging.DEBUG: "DEBUG", logging.INFO: "INFO", logging.WARNING: "WARN", logging.ERROR: "ERROR"}


class LineFormatter(logging.Formatter):
    """`2026-01-02T03:04:05.678Z [INFO]  agent.local: synced service web`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback below it where there is one."""
        level = f"[{_NAMES.get(record.levelno, record.levelname)}]"
        line = f"{_timestamp(record)} {level:<7} {_subsystem(record)}: {_shown(record.getMessage())}"
        if record.exc_info:
            line += "\n" + _encodable(self.formatException(record.exc_info))
        return line


class JsonFormatter(logging.Formatter):
    """One object a line with hclog's keys (`log_json`)."""

    def format(self, record: logging.LogRecord) -> str:
        """A JSON object with @level, @message, @module, @timestamp, and error where there is one."""
        document = {
            "@level": _NAMES.get(record.levelno, record.levelname).lower(),
            "@message": _encodable(record.getMessage()),
            "@module": _subsystem(record),
            "@timestamp": _timestamp(record),
        }
        if record.exc_info:
            document["error"] = _encodable(self.formatException(record.exc_info))
        return msgspec.json.encode(document).decode()


def set_up_logging(
    level: str, *, as_json: bool = False, file: Path | None = None, rotate_bytes: int = 0, rotate_max_files: int = 0
) -> None:
    """Send the log to standard error and, if given, to a file that rotates by size. Raises OSError."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if file is not None:
        handlers.append(
            logging.handlers.RotatingFileHandler(
                file, maxBytes=max(0, rotate_bytes), backupCount=max(0, rotate_max_files), encoding="utf-8"
            )
        )
    formatter = JsonFormatter() if as_json else LineFormatter()
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    for handler in handlers:
        handler.setFormatter(formatter)
        root.addHandler(handler)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    set_log_level(level)


def set_log_level(level: str) -> None:
    """Change how much is logged; whoever listens with a level of their own goes on with that."""
    number = level_number(level)
    root = logging.getLogger()
    listeners = [handler for handler in root.handlers if isinstance(handler, ListeningHandler)]
    for handler in root.handlers:
        if handler not in listeners:
            handler.setLevel(number)
    root.setLevel(min([number, *(listener.level for listener in listeners)]))


def level_number(level: str) -> int:
    """The level of this name, `info` for one that is none."""
    return _LEVELS.get(level.lower(), logging.INFO)


def is_level(level: str) -> bool:
    """Whether there is a level of this name."""
    return level.lower() in _LEVELS


class ListeningHandler(logging.Handler):
    """Base of those who listen for a while, with a level that may be lower than that of the log."""

    def attach(self) -> None:
        """Begin to listen. What is logged from now on is made, if not for the log, then for this one."""
        root = logging.getLogger()
        for handler in root.handlers:
            if not isinstance(handler, ListeningHandler) and handler.level < root.level:
                handler.setLevel(root.level)
        root.addHandler(self)
        root.setLevel(min(root.level, self.level))

    def detach(self) -> None:
        """Listen no more. Idempotent."""
        root = logging.getLogger()
        if self not in root.handlers:
            return
        root.removeHandler(self)
        if root.handlers:
            root.setLevel(min(handler.level for handler in root.handlers))


def _timestamp(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, tz=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(record.msecs):03d}Z"


def _subsystem(record: logging.LogRecord) -> str:
    """`agent.local` for `consul_kernel.agent.local`; a module named as its package goes by the package alone."""
    name = record.name.removeprefix("consul_kernel.").removeprefix("consul_kernel_")
    package, _, module = name.rpartition(".")
    return package if module == package.rpartition(".")[2] else name


def _shown(message: str) -> str:
    """A message with what is not printable escaped: the names in it are anybody's, and must not forge a line."""
    if message.isprintable():
        return message
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in message)


def _encodable(text: str) -> str:
    """Text that UTF-8 can write, with escapes for halves of surrogate pairs."""
    return text.encode("utf-8", "backslashreplace").decode()
