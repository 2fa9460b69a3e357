"""`consul-kernel keygen`."""

from __future__ import annotations

import base64
import secrets

from consul_kernel.cli.command import EXIT_OK, Command, too_many_arguments
from consul_kernel.cli.flags import Arguments

_KEY_BYTES = 32


def _run(arguments: Arguments) -> int:
    if arguments.positional:
        return too_many_arguments(0, arguments)
    print(base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode())
    return EXIT_OK


COMMANDS = (
    Command(
        "keygen",
        "keygen",
        "Makes a gossip key",
        _run,
        description="Prints 32 random bytes in base64, for `encrypt` in every agent's configuration.",
    ),
)
