"""`consul-kernel kv get`."""

from __future__ import annotations

import base64
import sys
from typing import Any

from consul_kernel.cli.client import CLIENT_FLAGS, SERVER_FLAGS, AgentClient, AgentError
from consul_kernel.cli.columns import format_attributes
from consul_kernel.cli.command import EXIT_OK, Command, fail, too_many_arguments
from consul_kernel.cli.flags import Arguments, Flag, FlagType


def _run(arguments: Arguments) -> int:
    if len(arguments.positional) > 1:
        return too_many_arguments(1, arguments)
    key = (arguments.positional[0] if arguments.positional else "").removeprefix("/")
    wants_many = arguments.is_set("recurse") or arguments.is_set("keys")
    if not key and not wants_many:
        return fail("Error! Missing KEY argument")
    client = AgentClient(arguments)
    try:
        if arguments.is_set("keys"):
            return _print_keys(client, key, arguments.text("separator"))
        if arguments.is_set("recurse"):
            return _print_all(client, key, arguments)
        return _print_one(client, key, arguments)
    except AgentError as error:
        return fail(f"Error querying Consul agent: {error}")


def _print_keys(client: AgentClient, prefix: str, separator: str) -> int:
    answer = client.get(f"/v1/kv/{prefix}", {"keys": "", "separator": separator or None}, allow_missing=True)
    for key in answer.json() if answer.status == 200 else ():
        print(key)
    return EXIT_OK


def _print_all(client: AgentClient, prefix: str, arguments: Arguments) -> int:
    answer = client.get(f"/v1/kv/{prefix}", {"recurse": ""}, allow_missing=True)
    pairs = answer.json() if answer.status == 200 else []
    for number, pair in enumerate(pairs):
        if arguments.is_set("detailed"):
            if number:
                print()
            _write(_details(pair, arguments))
        else:
            _write(pair["Key"].encode() + b":" + _value(pair, arguments))
    return EXIT_OK


def _print_one(client: AgentClient, key: str, arguments: Arguments) -> int:
    answer = client.get(f"/v1/kv/{key}", allow_missing=True)
    if answer.status == 404:
        return fail(f"Error! No key exists at: {key}")
    pair = answer.json()[0]
    _write(_details(pair, arguments) if arguments.is_set("detailed") else _value(pair, arguments))
    return EXIT_OK


def _value(pair: dict[str, Any], arguments: Arguments) -> bytes:
    encoded: str = pair["Value"] or ""
    return encoded.encode() if arguments.is_set("base64") else base64.b64decode(encoded)


def _details(pair: dict[str, Any], arguments: Arguments) -> bytes:
    names = ("CreateIndex", "Flags", "Key", "LockIndex", "ModifyIndex")
    attributes = [(name, str(pair[name])) for name in names]
    attributes += [("Session", pair.get("Session") or "-"), ("Value", "")]
    return format_attributes(attributes).encode() + _value(pair, arguments)


def _write(line: bytes) -> None:
    """A line of bytes: values need not be text."""
    sys.stdout.flush()
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


COMMANDS = (
    Command(
        "kv get",
        "kv get [options] [KEY_OR_PREFIX]",
        "Reads keys",
        _run,
        (
            *CLIENT_FLAGS,
            *SERVER_FLAGS,
            Flag("base64", FlagType.BOOL, "Show values in base64."),
            Flag("detailed", FlagType.BOOL, "Show indexes, flags and session, too."),
            Flag("keys", FlagType.BOOL, "Show only the keys that begin with the prefix, to the next separator."),
            Flag("recurse", FlagType.BOOL, "Show every key that begins with the prefix, with its value."),
            Flag("separator", FlagType.TEXT, "Where -keys stops; empty for nowhere.", default="/"),
        ),
        "Shows the value of a key, or with -recurse or -keys of all keys that begin with a prefix. Exits with 1 when "
        "the key does not exist.",
    ),
)
