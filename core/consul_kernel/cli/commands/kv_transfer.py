"""`consul-kernel kv export` and `kv import`."""

from __future__ import annotations

import base64
import binascii
import json

from consul_kernel.cli.client import CLIENT_FLAGS, SERVER_FLAGS, AgentClient, AgentError
from consul_kernel.cli.command import EXIT_OK, Command, fail, too_many_arguments
from consul_kernel.cli.flags import Arguments, Flag, FlagType

from .kv_write import UnreadableDataError, read_data


def _export(arguments: Arguments) -> int:
    if len(arguments.positional) > 1:
        return too_many_arguments(1, arguments)
    prefix = (arguments.positional[0] if arguments.positional else "").removeprefix("/")
    try:
        answer = AgentClient(arguments).get(f"/v1/kv/{prefix}", {"recurse": ""}, allow_missing=True)
        pairs = answer.json() if answer.status == 200 else []
    except AgentError as error:
        return fail(f"Error querying Consul agent: {error}")
    exported = [{"key": pair["Key"], "flags": pair["Flags"], "value": pair["Value"] or ""} for pair in pairs]
    print(json.dumps(exported, indent="\t", ensure_ascii=False))
    return EXIT_OK


def _import(arguments: Arguments) -> int:
    if not arguments.positional:
        return fail("Error! Missing DATA argument")
    if len(arguments.positional) > 1:
        return too_many_arguments(1, arguments)
    try:
        entries = _read_entries(read_data(arguments.positional[0]))
    except UnreadableDataError as error:
        return fail(f"Error! {error}")
    client = AgentClient(arguments)
    prefix = arguments.text("prefix")
    for key, flags, value in entries:
        path = prefix.rstrip("/") + "/" + key if prefix else key
        try:
            client.put(f"/v1/kv/{path}", {"flags": str(flags) if flags else None}, value)
        except AgentError as error:
            return fail(f"Error! Failed writing data for key {path}: {error}")
        print(f"Imported: {path}")
    return EXIT_OK


def _read_entries(data: bytes) -> list[tuple[str, int, bytes]]:
    """Keys, flags and values, all checked before the first is written."""
    try:
        document = json.loads(data)
        return [
            (str(entry["key"]).removeprefix("/"), int(entry.get("flags", 0)), base64.b64decode(entry["value"] or ""))
            for entry in document
        ]
    except (ValueError, TypeError, KeyError, AttributeError, binascii.Error) as error:
        raise UnreadableDataError(f"Cannot unmarshal data: {type(error).__name__}: {error}") from error


COMMANDS = (
    Command(
        "kv export",
        "kv export [options] [PREFIX]",
        "Writes keys out as JSON",
        _export,
        (*CLIENT_FLAGS, *SERVER_FLAGS),
        "Prints all keys that begin with a prefix as JSON that `kv import` reads.",
    ),
    Command(
        "kv import",
        "kv import [options] DATA",
        "Writes keys from JSON",
        _import,
        (*CLIENT_FLAGS, *SERVER_FLAGS, Flag("prefix", FlagType.TEXT, "Put this in front of every key.")),
        "Writes the keys that `kv export` printed. Data that begin with @ name a file, and - is standard input.",
    ),
)
