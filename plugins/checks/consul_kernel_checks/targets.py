"""`host:port`, as definitions write it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """A host, without the brackets of an IPv6 address, and a port: a number or the name of a service."""

    host: str
    port: str

    @property
    def number(self) -> int | str:
        """The port as a number where it is one."""
        return int(self.port) if self.port.isdecimal() else self.port


def split_target(text: str) -> Target:
    """The parts of `host:port` or `[host]:port`. Either may be empty: dialling it then says what is wrong."""
    host, _, port = text.rpartition(":")
    return Target(host.strip("[]"), port)
