"""Check: how the health of something is probed, once.

All else is the kernel's: when a check is probed and how long that may take, how often it must succeed or fail before
its state follows, what is kept of its output, and what becomes of a service that stays critical.

Clauses: docs/contracts/check.md. Kit: `consul_kernel.testing.check_kit`.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from consul_kernel.structs.check import CheckStatus

from .plugin import Plugin

REMOTE_CODE: Final = "remote_code"
"""Capability: the definition names commands that the probe runs. Agents refuse such checks unless they are allowed."""

DEFAULT_TIMEOUT_S: Final = 10.0

OUTPUT_ALLOWANCE_BYTES: Final = 1024
"""How much longer than `output_limit_bytes` an output may be, for the words around what was captured."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a probe found: passing, warning or critical, and a text for people."""

    status: CheckStatus
    output: str = ""


@runtime_checkable
class Check(Protocol):
    """One check of one definition."""

    async def probe(self) -> Outcome:
        """Ask once, anew. Never called again before the last call ended; cancelled when its time is over.

        An OSError is critical with its text. So is any other exception, which is logged as the plugin's fault.
        """
        ...


@runtime_checkable
class JudgesTimeout(Protocol):
    """Optional: a check that says what it means when a probe's time is over. Without it, that is critical."""

    def timed_out(self) -> Outcome:
        """The outcome of a probe that was cancelled for its time."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckContext:
    """What a check is made with.

    `timeout_s` is what a probe may take, in seconds, as the definition says or the descriptor's default.
    `output_limit_bytes` is how much is kept of what the target says, in UTF-8. `rng` is the agent's.
    """

    check_id: str
    name: str
    service_id: str
    node_name: str
    datacenter: str
    timeout_s: float
    output_limit_bytes: int
    logger: logging.Logger
    rng: random.Random


@dataclass(frozen=True, kw_only=True)
class CheckPlugin(Plugin[CheckContext, Check]):
    """The descriptor of a kind of check.

    `name` is the key by which definitions choose it, and a field of `config_type`, which has the other keys that this
    kind takes. `type_name` is what `Type` shows of such checks, the name where it is empty. `default_timeout_s` is what
    a probe may take where the definition says nothing.
    """

    type_name: str = ""
    default_timeout_s: float = DEFAULT_TIMEOUT_S

    @property
    def shown_type(self) -> str:
        """What `Type` shows."""
        return self.type_name or self.name
