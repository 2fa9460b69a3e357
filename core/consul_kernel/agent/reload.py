"""Taking up an agent file that was changed while the agent runs (Consul: docs/agent/config, Reloadable Configuration).

What a start would refuse is refused here, and nothing has changed then. What cannot change while the agent runs is said
in the log, and waits for a restart.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import fields, replace

from msgspec.structs import replace as replaced

from consul_kernel.config.model import AgentConfig
from consul_kernel.config.problems import ConfigErrors
from consul_kernel.contracts.consensus import SnapshotTuning
from consul_kernel.contracts.dns_answer import DnsAnswers
from consul_kernel.contracts.errors import AgentError, ConsulKernelError
from consul_kernel.contracts.interface import Interface, InterfaceSettings, ReloadableInterface
from consul_kernel.contracts.plugin import PluginConfig, PluginKind
from consul_kernel.plugins import PluginManager
from consul_kernel.server.server import RaftServer
from consul_kernel.telemetry.keeper import Telemetry

from .composition import choose, make_dns_answers
from .logs import set_log_level
from .registry import Registry
from .watches import Watches

logger = logging.getLogger(__name__)

LoadConfig = Callable[[], AgentConfig]

RELOADABLE = frozenset(
    {
        "alt_domain",
        "checks",
        "discard_check_output",
        "dns",
        "domain",
        "http",
        "limits",
        "log_level",
        "node_meta",
        "raft_snapshot_interval_ms",
        "raft_snapshot_threshold",
        "raft_trailing_logs",
        "services",
        "watches",
    }
)
"""The fields of the configuration that a running agent follows."""
_NOT_COMPARED = frozenset({"dns_answers", "interfaces", "plugins", "warnings"})
_FIXED_HTTP = ("default_query_time_ms", "max_query_time_ms")
"""Servers go by these, too: a part of an agent that went by others would be no use."""
_KEYS = {
    "dns": "dns_config",
    "http": "http_config",
    "leave_drain_time": "performance.leave_drain_time",
    "raft_multiplier": "performance.raft_multiplier",
    "rpc_hold_timeout": "performance.rpc_hold_timeout",
    "serf_lan_bind": "serf_lan",
    "serf_wan_bind": "serf_wan",
}
"""Fields that are not called as their key is."""


class Reloader:
    """Reads the agent file again. Reloads that come at once are made one after the other."""

    def __init__(
        self,
        config: AgentConfig,
        load: LoadConfig | None,
        *,
        plugins: PluginManager,
        registry: Registry,
        watches: Watches,
        server: RaftServer | None,
        telemetry: Telemetry,
        rng: random.Random,
        interfaces: Callable[[], Mapping[str, Interface]],
    ) -> None:
        """`load` reads the files with what else the agent was started with; it raises ConfigErrors."""
        self.config = config
        """What the agent goes by now."""
        self._load = load
        self._plugins = plugins
        self._registry = registry
        self._watches = watches
        self._server = server
        self._telemetry = telemetry
        self._rng = rng
        self._interfaces = interfaces
        self._lock = asyncio.Lock()

    async def reload(self) -> None:
        """Take up what has changed. Raises AgentError with everything that is wrong: then nothing has changed."""
        if self._load is None:
            raise AgentError("this agent was not started from files that it could read again")
        async with self._lock:
            try:
                new = await asyncio.to_thread(self._load)
                chosen = choose(new, self._plugins)
                answers = make_dns_answers(new, chosen, self._telemetry.registry, self._rng)
                self._registry.validate(new)
            except (ConfigErrors, ConsulKernelError) as error:
                logger.error(
                    "the configuration stays as it is, since what is in the files now cannot be used: %s", error
                )
                raise AgentError(str(error)) from error
            blocks = {one.block.name: one.config for one in chosen if one.block.kind is PluginKind.INTERFACE}
            self._take_up(new, blocks, answers)

    def _take_up(self, new: AgentConfig, blocks: Mapping[str, PluginConfig], answers: DnsAnswers) -> None:
        """Make the new configuration count, as far as it can; from here on nothing is refused."""
        for warning in new.warnings:
            logger.warning("%s", warning)
        old = self.config
        followed = {name: getattr(new, name) for name in RELOADABLE}
        followed["http"] = replaced(new.http, **{name: getattr(old.http, name) for name in _FIXED_HTTP})
        changed = sorted(key_of(name) for name, value in followed.items() if getattr(old, name) != value)
        followed["telemetry"] = replaced(
            old.telemetry, prefix_filter=new.telemetry.prefix_filter, filter_default=new.telemetry.filter_default
        )
        self.config = replace(old, **followed, interfaces=new.interfaces, dns_answers=new.dns_answers)
        self._telemetry.reload(self.config.telemetry)
        set_log_level(new.log_level)
        self._registry.reload(self.config)
        self._watches.follow(self.config.watches)
        if self._server is not None:
            tuning = SnapshotTuning(
                threshold=new.raft_snapshot_threshold,
                interval_ms=new.raft_snapshot_interval_ms,
                trailing_logs=new.raft_trailing_logs,
            )
            self._server.reload(new.limits, tuning)
        left = [*fixed_keys(self.config, new), *self._reload_interfaces(old, self.config, blocks, answers)]
        logger.info("configuration reloaded, changed: %s", ", ".join(changed) or "nothing")
        if left:
            logger.warning("these have changed, but take effect only when the agent is restarted: %s", ", ".join(left))

    def _reload_interfaces(
        self, old: AgentConfig, new: AgentConfig, blocks: Mapping[str, PluginConfig], answers: DnsAnswers
    ) -> list[str]:
        """Hand each interface its settings; the keys that it does not take up."""
        settings = InterfaceSettings(dns=new.dns, http=new.http, limits=new.limits, dns_answers=answers)
        before = {block.name: block for block in old.interfaces}
        left = [f'interface "{name}"' for name in sorted(before.keys() ^ blocks.keys())]
        for name, interface in self._interfaces().items():
            if name not in blocks:
                continue
            path = f'interface "{name}"'
            if isinstance(interface, ReloadableInterface):
                try:
                    left += [f"{path}.{key}" for key in interface.reload(settings, blocks[name])]
                except Exception:
                    logger.exception("%s failed to take up its settings", path)
            elif (old.dns, old.http, old.limits) != (new.dns, new.http, new.limits) or _differs(name, old, new):
                left.append(path)
        return left


def _differs(name: str, old: AgentConfig, new: AgentConfig) -> bool:
    options = [[block.options for block in config.interfaces if block.name == name] for config in (old, new)]
    return options[0] != options[1]


def fixed_keys(old: AgentConfig, new: AgentConfig) -> list[str]:
    """The keys that differ and that a running agent does not follow. Values are not shown: they may be secrets."""
    names = [field.name for field in fields(AgentConfig) if field.name not in RELOADABLE | _NOT_COMPARED]
    keys = [key_of(name) for name in names if getattr(old, name) != getattr(new, name)]
    keys += [key_of(name) for name in _FIXED_HTTP if getattr(old.http, name) != getattr(new.http, name)]
    for kind in sorted(old.plugins.keys() | new.plugins.keys()):
        before, after = old.plugins.get(kind), new.plugins.get(kind)
        if (before and (before.name, before.options)) != (after and (after.name, after.options)):
            keys.append((after or before).path)  # type: ignore[union-attr]
    return keys


def key_of(field: str) -> str:
    """The key of the agent file that a field of the configuration comes from."""
    name = field.removesuffix("_ms")
    return _KEYS.get(name, name)
