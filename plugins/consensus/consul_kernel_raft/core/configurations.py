"""Which configuration is in force at which index (thesis §4.1: a server uses the latest one in its log)."""

from __future__ import annotations

from consul_kernel.contracts.consensus import Configuration

from .tracker import voter_ids


class ConfigurationHistory:
    """The latest configuration and those that truncation or a snapshot may still ask for."""

    def __init__(self, base: Configuration) -> None:
        self._history = [base]
        self.voters = voter_ids(base)
        """Ids of the voters of the latest configuration."""

    @property
    def latest(self) -> Configuration:
        return self._history[-1]

    @property
    def previous(self) -> Configuration:
        """The one before the latest, which is in force until that is committed; the latest where none is kept."""
        return self._history[-2] if len(self._history) > 1 else self._history[-1]

    def at(self, index: int) -> Configuration:
        """The configuration in force once the entry at `index` is applied; `index` is not before the base."""
        return next((item for item in reversed(self._history) if item.index <= index), self._history[0])

    def add(self, configuration: Configuration) -> None:
        """A configuration entry was appended."""
        self._history.append(configuration)
        self.voters = voter_ids(configuration)

    def truncate_from(self, index: int) -> bool:
        """Entries from `index` on are gone: the one before counts again. Whether that is another one."""
        before = self.latest
        while len(self._history) > 1 and self._history[-1].index >= index:
            self._history.pop()
        self.voters = voter_ids(self.latest)
        return self.latest is not before

    def applied(self, index: int) -> None:
        """Nothing before `index` will be asked for."""
        while len(self._history) > 1 and self._history[1].index <= index:
            del self._history[0]

    def reset(self, base: Configuration) -> None:
        """A snapshot replaced the log."""
        self._history = [base]
        self.voters = voter_ids(base)
