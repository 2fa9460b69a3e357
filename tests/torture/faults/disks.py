"""Disks without room."""

from __future__ import annotations

from .base import Fault


class FullDisk(Fault):
    """No byte is free where one server keeps its data, or all of them."""

    lasts_s = (3.0, 10.0)

    def strike(self) -> str:
        server, name = self.victim()
        self._struck = [server]
        if self.rng.random() < 0.15:
            self._struck, name = list(self.servers.all), "all"
        for each in self._struck:
            each.fill_disk()
        return f"full disk at {name}"

    def repair(self) -> None:
        for server in self._struck:
            server.empty_disk()
