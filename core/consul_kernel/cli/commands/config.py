"""`consul-kernel config write`, `read`, `list` and `delete`: configuration entries."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from consul_kernel.cli.client import CLIENT_FLAGS, SERVER_FLAGS, AgentClient, AgentError
from consul_kernel.cli.command import EXIT_OK, Command, fail, too_many_arguments
from consul_kernel.cli.flags import Arguments, Flag, FlagType

_PATH = "/v1/config"
_ONE_ENTRY = "Must provide exactly one positional argument to specify the config entry to write"


class _BadEntryError(Exception):
    """A text that is no configuration entry."""


def _write(arguments: Arguments) -> int:
    if len(arguments.positional) != 1:
        return fail(_ONE_ENTRY)
    try:
        entry = _parse(*_read(arguments.positional[0]))
    except (OSError, UnicodeDecodeError) as error:
        return fail(f"Failed to load data: {error}")
    except _BadEntryError as error:
        return fail(f"Failed to decode config entry input: {error}")
    name = f"{_field(entry, 'kind')}/{_field(entry, 'name') or _field(entry, 'kind')}"
    index = str(arguments.number("modify-index")) if arguments.is_set("cas") else None
    try:
        is_done = AgentClient(arguments).put_json(_PATH, entry, {"cas": index}).json()
    except AgentError as error:
        return fail(f"Error writing config entry {name}: {error}")
    if not is_done:
        return fail(f"Config entry not updated: {name}")
    print(f"Config entry written: {name}")
    return EXIT_OK


def _read(place: str) -> tuple[str, str]:
    """Name and text of a file, `-` for standard input."""
    if place == "-":
        return "standard input", sys.stdin.read()
    return place, Path(place).read_text()


def _parse(name: str, text: str) -> dict[str, Any]:
    """An entry in JSON or HCL, as the HTTP API takes it."""
    if text.lstrip().startswith("{"):
        try:
            document = json.loads(text)
        except ValueError as error:
            raise _BadEntryError(f"{name}: {error}") from error
    else:
        document = _parse_hcl(name, text)
    if not isinstance(document, dict):
        raise _BadEntryError(f"{name} holds no object")
    if not _field(document, "kind"):
        raise _BadEntryError("Payload does not contain a kind/Kind key at the top level")
    return document


def _parse_hcl(name: str, text: str) -> Any:
    from consul_kernel.cli.plain_values import to_plain
    from consul_kernel.config.hcl import parse_hcl
    from consul_kernel.config.problems import SourceSyntaxError

    try:
        return to_plain(parse_hcl(text, name))
    except SourceSyntaxError as error:
        raise _BadEntryError(str(error)) from error


def _field(entry: dict[str, Any], name: str) -> str:
    return next((str(value) for key, value in entry.items() if key.lower() == name), "")


def _show(arguments: Arguments) -> int:
    missing = _missing(arguments, "kind", "name")
    if missing:
        return missing
    kind, name = arguments.text("kind"), arguments.text("name")
    try:
        entry = AgentClient(arguments).get_json(f"{_PATH}/{kind}/{name}")
    except AgentError as error:
        return fail(f"Error reading config entry {kind}/{name}: {error}")
    print(json.dumps(entry, indent=4, ensure_ascii=False))
    return EXIT_OK


def _list(arguments: Arguments) -> int:
    missing = _missing(arguments, "kind")
    if missing:
        return missing
    kind = arguments.text("kind")
    try:
        entries = AgentClient(arguments).get_json(f"{_PATH}/{kind}")
    except AgentError as error:
        return fail(f"Error listing config entries of kind {kind}: {error}")
    for entry in entries:
        print(entry.get("Name", kind))
    return EXIT_OK


def _delete(arguments: Arguments) -> int:
    missing = _missing(arguments, "kind", "name")
    if missing:
        return missing
    name = f"{arguments.text('kind')}/{arguments.text('name')}"
    try:
        AgentClient(arguments).delete(f"{_PATH}/{name}")
    except AgentError as error:
        return fail(f"Error deleting config entry {name}: {error}")
    print(f"Config entry deleted: {name}")
    return EXIT_OK


def _missing(arguments: Arguments, *names: str) -> int:
    """The exit code for what is missing or too much, 0 for neither."""
    if arguments.positional:
        return too_many_arguments(0, arguments)
    for name in names:
        if not arguments.text(name):
            return fail(f"Must specify the -{name} parameter")
    return EXIT_OK


_KIND = Flag("kind", FlagType.TEXT, "Kind of the entry, such as service-defaults.")
_NAME = Flag("name", FlagType.TEXT, "Name of the entry.")
_DATACENTER = SERVER_FLAGS[:1]

COMMANDS = (
    Command(
        "config write",
        "config write [options] FILE",
        "Writes a configuration entry",
        _write,
        (
            *CLIENT_FLAGS,
            *_DATACENTER,
            Flag("cas", FlagType.BOOL, "Write only if the entry was last changed at -modify-index."),
            Flag("modify-index", FlagType.INT, "With -cas: index of the last change, 0 for an entry that is new."),
        ),
        "Writes the entry of a file in HCL or JSON, or of standard input for -.",
    ),
    Command(
        "config read",
        "config read [options] -kind KIND -name NAME",
        "Shows a configuration entry",
        _show,
        (*CLIENT_FLAGS, *SERVER_FLAGS, _KIND, _NAME),
    ),
    Command(
        "config list",
        "config list [options] -kind KIND",
        "Lists the names of configuration entries",
        _list,
        (*CLIENT_FLAGS, *SERVER_FLAGS, _KIND),
    ),
    Command(
        "config delete",
        "config delete [options] -kind KIND -name NAME",
        "Deletes a configuration entry",
        _delete,
        (*CLIENT_FLAGS, *_DATACENTER, _KIND, _NAME),
    ),
)
