"""How metrics are called outside of the agent, and which are shown at all (`telemetry` in the agent file)."""

from __future__ import annotations

from collections.abc import Sequence


class Naming:
    """Puts the prefix before a name, and this host's name behind that in gauges.

    Of rules such as `+consul.raft` and `-consul.http` the longest that fits decides, `filter_default` where none does.
    """

    def __init__(self, prefix: str, host: str, rules: Sequence[str] = (), *, filter_default: bool = True) -> None:
        """`host` is "" where gauges go without."""
        self._prefix = f"{prefix}." if prefix else ""
        self._host = f"{host}." if host else ""
        self.filter(rules, filter_default=filter_default)

    def filter(self, rules: Sequence[str], *, filter_default: bool) -> None:
        """Go by other rules from now on."""
        by_length = sorted(rules, key=len, reverse=True)
        self._rules = [(rule[1:], rule.startswith("+")) for rule in by_length if rule.startswith(("+", "-"))]
        self._default = filter_default

    def name(self, name: str) -> str | None:
        """A counter's or a sample's name; None where it is not shown."""
        return self._shown(self._prefix + name)

    def gauge(self, name: str) -> str | None:
        """A gauge's, likewise."""
        return self._shown(self._prefix + self._host + name)

    def _shown(self, name: str) -> str | None:
        for prefix, is_shown in self._rules:
            if name.startswith(prefix):
                return name if is_shown else None
        return name if self._default else None
