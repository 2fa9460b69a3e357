"""`consul-kernel services register` and `services deregister`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from consul_kernel.cli.client import CLIENT_FLAGS, AgentClient, AgentError
from consul_kernel.cli.command import EXIT_OK, Command, fail
from consul_kernel.cli.flags import Arguments, Flag, FlagType


class _BadFileError(Exception):
    """A file that defines no services."""


def _register(arguments: Arguments) -> int:
    try:
        services = _read_services(arguments)
    except _BadFileError as error:
        return fail(f"Error: {error}")
    if not services:
        return fail(
            "Service registration requires at least one argument or flags.\n"
            "Please give a file that defines services, or -name."
        )
    client = AgentClient(arguments)
    for service in services:
        name = _field(service, "Name")
        try:
            client.put_json("/v1/agent/service/register", service)
        except AgentError as error:
            return fail(f'Error registering service "{name}": {error}')
        print(f"Registered service: {name}")
    return EXIT_OK


def _deregister(arguments: Arguments) -> int:
    if arguments.text("id"):
        if arguments.positional:
            return fail("Error: -id and files cannot be given together")
        ids = [arguments.text("id")]
    else:
        try:
            services = _read_services(arguments)
        except _BadFileError as error:
            return fail(f"Error: {error}")
        ids = [_field(service, "ID") or _field(service, "Name") for service in services]
    if not ids:
        return fail("Service deregistration requires -id or a file that defines services.")
    client = AgentClient(arguments)
    for service_id in ids:
        try:
            client.put(f"/v1/agent/service/deregister/{service_id}")
        except AgentError as error:
            return fail(f'Error deregistering service "{service_id}": {error}')
        print(f"Deregistered service: {service_id}")
    return EXIT_OK


def _field(service: dict[str, Any], name: str) -> str:
    """A field by its name, whatever its case."""
    return next((str(value) for key, value in service.items() if key.lower() == name.lower()), "")


def _read_services(arguments: Arguments) -> list[dict[str, Any]]:
    """The services of all files, or the one that flags define."""
    services = []
    for path in arguments.positional:
        services += _read_file(Path(path))
    if arguments.values.get("name"):
        services.append(_from_flags(arguments))
    return services


def _from_flags(arguments: Arguments) -> dict[str, Any]:
    return {
        "ID": arguments.text("id"),
        "Name": arguments.text("name"),
        "Address": arguments.text("address"),
        "Port": arguments.number("port"),
        "Tags": arguments.texts("tag"),
        "Meta": arguments.mapping("meta"),
    }


def _read_file(path: Path) -> list[dict[str, Any]]:
    """The definitions under `service` and `services` in a JSON or HCL file, as the HTTP API takes them."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise _BadFileError(f'Cannot read "{path}": {error}') from error
    document = _parse(path, text)
    found = []
    for key in ("service", "services"):
        value = document.get(key, [])
        found += value if isinstance(value, list) else [value]
    if not found or not all(isinstance(service, dict) for service in found):
        raise _BadFileError(f'No service is defined in "{path}"')
    return found


def _parse(path: Path, text: str) -> dict[str, Any]:
    if path.suffix == ".json":
        try:
            document = json.loads(text)
        except ValueError as error:
            raise _BadFileError(f"{path}: {error}") from error
    else:
        document = _parse_hcl(path, text)
    if not isinstance(document, dict):
        raise _BadFileError(f'No service is defined in "{path}"')
    return document


def _parse_hcl(path: Path, text: str) -> Any:
    from consul_kernel.cli.plain_values import to_plain
    from consul_kernel.config.hcl import parse_hcl
    from consul_kernel.config.problems import SourceSyntaxError

    try:
        return to_plain(parse_hcl(text, str(path)))
    except SourceSyntaxError as error:
        raise _BadFileError(str(error)) from error


_ID = Flag("id", FlagType.TEXT, "Id of the service.")

COMMANDS = (
    Command(
        "services register",
        "services register [options] [FILE…]",
        "Registers services with the agent",
        _register,
        (
            *CLIENT_FLAGS,
            _ID,
            Flag("address", FlagType.TEXT, "Address of the service; the node's unless given."),
            Flag("meta", FlagType.TEXT_MAP, "Metadata of the service. May be given many times."),
            Flag("name", FlagType.TEXT, "Name of the service."),
            Flag("port", FlagType.INT, "Port of the service."),
            Flag("tag", FlagType.TEXTS, "Tag of the service. May be given many times."),
        ),
        "Registers the services that files define, in HCL or JSON as in agent files, or the one that flags define.",
    ),
    Command(
        "services deregister",
        "services deregister [options] [FILE…]",
        "Deregisters services from the agent",
        _deregister,
        (*CLIENT_FLAGS, _ID),
        "Deregisters the services that files define, or the one with -id.",
    ),
)
