"""`consul-kernel kv put` and `kv delete`."""

from __future__ import annotations

import base64
import binascii
import sys
from pathlib import Path

from consul_kernel.cli.client import CLIENT_FLAGS, SERVER_FLAGS, AgentClient, AgentError
from consul_kernel.cli.command import EXIT_OK, Command, fail
from consul_kernel.cli.flags import Arguments, Flag, FlagType


class UnreadableDataError(Exception):
    """The value that was given cannot be read."""


def read_data(argument: str) -> bytes:
    """The bytes that an argument stands for: `@file`, `-` for standard input, else the text itself."""
    if argument.startswith("@"):
        try:
            return Path(argument[1:]).read_bytes()
        except OSError as error:
            raise UnreadableDataError(f"Failed to read file: {error.strerror}: {argument[1:]}") from error
    if argument == "-":
        return sys.stdin.buffer.read()
    return argument.encode(errors="surrogateescape")


def _put(arguments: Arguments) -> int:
    given = arguments.positional
    if not given or not given[0].removeprefix("/"):
        return fail("Error! Missing KEY argument")
    if len(given) > 2:
        return fail(f"Error! Too many arguments (expected 1 or 2, got {len(given)})")
    try:
        data = read_data(given[1]) if len(given) == 2 else b""
        if arguments.is_set("base64"):
            data = base64.b64decode(data, validate=True)
    except UnreadableDataError as error:
        return fail(f"Error! {error}")
    except binascii.Error as error:
        return fail(f"Error! Cannot base 64 decode data: {error}")
    if (arguments.is_set("acquire") or arguments.is_set("release")) and not arguments.text("session"):
        return fail("Error! Missing -session (required with -acquire and -release)")
    return _send_put(arguments, given[0].removeprefix("/"), data)


def _send_put(arguments: Arguments, key: str, data: bytes) -> int:
    flags = arguments.number("flags")
    session = arguments.text("session")
    query = {
        "flags": str(flags) if flags else None,
        "cas": str(arguments.number("modify-index")) if arguments.is_set("cas") else None,
        "acquire": session if arguments.is_set("acquire") else None,
        "release": session if arguments.is_set("release") else None,
    }
    try:
        is_done = AgentClient(arguments).put(f"/v1/kv/{key}", query, data).json() is True
    except AgentError as error:
        subject = f"Did not write to {key}" if arguments.is_set("cas") else "Failed writing data"
        return fail(f"Error! {subject}: {error}")
    if arguments.is_set("cas"):
        done, refused = f"Data written to: {key}", f"Did not write to {key}: CAS failed"
    elif arguments.is_set("acquire"):
        done, refused = f"Lock acquired on: {key}", "Did not acquire lock"
    elif arguments.is_set("release"):
        done, refused = f"Lock released on: {key}", "Did not release lock"
    else:
        done, refused = f"Data written to: {key}", f"Did not write to {key}"
    if not is_done:
        return fail(f"Error! {refused}")
    print(f"Success! {done}")
    return EXIT_OK


def _delete(arguments: Arguments) -> int:
    given = arguments.positional
    if len(given) > 1:
        return fail(f"Too many arguments (expected 1, got {len(given)})")
    key = (given[0] if given else "").removeprefix("/")
    complaint = _delete_complaint(arguments, given, key)
    if complaint:
        return fail(complaint)
    is_recursive, is_cas = arguments.is_set("recurse"), arguments.is_set("cas")
    query = {
        "recurse": "" if is_recursive else None,
        "cas": str(arguments.number("modify-index")) if is_cas else None,
    }
    try:
        is_done = AgentClient(arguments).delete(f"/v1/kv/{key}", query).json() is True
    except AgentError as error:
        what = f"prefix {key}" if is_recursive else f"key {key}"
        return fail(f"Error! Did not delete {what}: {error}")
    if not is_done:
        return fail(f"Error! Did not delete key {key}: CAS failed")
    print(f"Success! Deleted keys with prefix: {key}" if is_recursive else f"Success! Deleted key: {key}")
    return EXIT_OK


def _delete_complaint(arguments: Arguments, given: list[str], key: str) -> str:
    """What is wrong with the way `kv delete` was asked; "" for nothing."""
    if not given or (not key and not arguments.is_set("recurse")):
        return "Error! Missing KEY argument"
    if arguments.is_set("cas") and arguments.is_set("recurse"):
        return "Cannot specify both -cas and -recurse!"
    if arguments.is_set("cas") and arguments.number("modify-index") == 0:
        return "Must specify a -modify-index greater than 0 with -cas!"
    if not arguments.is_set("cas") and "modify-index" in arguments.given:
        return "Cannot specify -modify-index without -cas!"
    return ""


_CAS_FLAGS = (
    Flag("cas", FlagType.BOOL, "Act only if the key is still as it was at -modify-index."),
    Flag("modify-index", FlagType.UINT, "The key's index for -cas; with put, 0 means that it must not exist."),
)

COMMANDS = (
    Command(
        "kv put",
        "kv put [options] KEY [DATA]",
        "Writes a key",
        _put,
        (
            *CLIENT_FLAGS,
            *SERVER_FLAGS,
            *_CAS_FLAGS,
            Flag("acquire", FlagType.BOOL, "Take a lock on the key for -session."),
            Flag("base64", FlagType.BOOL, "The data are in base64."),
            Flag("flags", FlagType.UINT, "A number to keep with the key."),
            Flag("release", FlagType.BOOL, "Give up the lock that -session has on the key."),
            Flag("session", FlagType.TEXT, "The session for -acquire and -release."),
        ),
        "Writes data to a key. Data that begin with @ name a file, and - is standard input; without data the value "
        "is empty.",
    ),
    Command(
        "kv delete",
        "kv delete [options] KEY_OR_PREFIX",
        "Removes keys",
        _delete,
        (
            *CLIENT_FLAGS,
            *SERVER_FLAGS,
            *_CAS_FLAGS,
            Flag("recurse", FlagType.BOOL, "Remove every key that begins with the prefix."),
        ),
        "Removes a key, or with -recurse all keys that begin with a prefix. It is no error when there is none.",
    ),
)
