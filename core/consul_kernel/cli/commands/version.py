"""`consul-kernel version`."""

from __future__ import annotations

import json

from consul_kernel import __version__
from consul_kernel.cli.command import EXIT_OK, Command, fail
from consul_kernel.cli.flags import Arguments, Flag, FlagType


def _run(arguments: Arguments) -> int:
    output_format = arguments.text("format")
    if output_format == "json":
        print(json.dumps({"Version": __version__}, indent=4))
    elif output_format == "pretty":
        print(f"consul-kernel v{__version__}")
    else:
        return fail(f'Invalid format "{output_format}": it is pretty or json')
    return EXIT_OK


COMMANDS = (
    Command(
        "version",
        "version [options]",
        "Prints the version",
        _run,
        (Flag("format", FlagType.TEXT, "pretty or json.", default="pretty"),),
    ),
)
