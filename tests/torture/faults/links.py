"""Networks that are cut. Clients reach every server all the time: it is their answers that are looked at."""

from __future__ import annotations

from torture.servers import Server

from .base import Fault


class Partition(Fault):
    """One server, or as many as a minority has, cut off from the others in both directions."""

    lasts_s = (2.0, 8.0)

    def strike(self) -> str:
        apart, name = self._apart()
        others = self.others(*apart)
        _cut(apart, others)
        _cut(others, apart)
        return f"partition of {name}"

    def repair(self) -> None:
        for server in self.servers.all:
            server.host.heal()

    def _apart(self) -> tuple[list[Server], str]:
        if self.rng.random() < 0.6:
            server, name = self.victim()
            return [server], name
        apart = self.rng.sample(self.servers.all, len(self.servers.all) // 2)
        return apart, ", ".join(server.name for server in apart)


class OneWay(Partition):
    """The same in one direction: servers that are heard and hear nothing, or hear and are not heard."""

    def strike(self) -> str:
        apart, name = self._apart()
        others = self.others(*apart)
        if self.rng.random() < 0.5:
            _cut(apart, others)
            return f"cut from {name} to the others"
        _cut(others, apart)
        return f"cut to {name} from the others"


def _cut(senders: list[Server], receivers: list[Server]) -> None:
    for sender in senders:
        sender.host.cut(receiver.host for receiver in receivers)
