"""Finds, checks and loads the plugins that a configuration names, and no others.

Distributions offer plugins as entry points, one group for each kind. What nobody names is never imported,
so a broken plugin harms nobody until it is named; then it stops the start with a text that says which
distribution, which version, and why.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import msgspec
import pluggy

from consul_kernel import hookspecs
from consul_kernel.contracts.check import CheckPlugin
from consul_kernel.contracts.errors import PluginLoadError
from consul_kernel.contracts.plugin import SUPPORTED_API_VERSIONS, Plugin, PluginConfig, PluginKind

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InstalledPlugin:
    """A plugin that some installed distribution offers; it has not been imported."""

    kind: PluginKind
    name: str
    distribution: str
    version: str
    entry_point: EntryPoint

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} ({self.distribution} {self.version})"


def installed_plugins() -> list[InstalledPlugin]:
    """Everything on offer, by kind and name. Imports nothing.

    Looks through every installed distribution, which takes longer than importing a plugin.
    """
    points = entry_points()
    offered = [(kind, point) for kind in PluginKind for point in points.select(group=kind.entry_point_group)]
    distributions = {id(point.dist): _distribution(point) for _, point in offered}
    found = {
        (kind, point.name, distributions[id(point.dist)]): InstalledPlugin(
            kind, point.name, *distributions[id(point.dist)], point
        )
        for kind, point in offered
    }
    order = list(PluginKind)
    return sorted(found.values(), key=lambda plugin: (order.index(plugin.kind), plugin.name, plugin.distribution))


def _distribution(point: EntryPoint) -> tuple[str, str]:
    if point.dist is None:
        return "unknown distribution", "unknown version"
    metadata = point.dist.metadata
    return metadata["Name"], metadata["Version"]


class PluginManager:
    """The plugins of one agent."""

    def __init__(self) -> None:
        self._pluggy = pluggy.PluginManager(hookspecs.PROJECT_NAME)
        self._pluggy.add_hookspecs(hookspecs)
        self._loaded: dict[tuple[PluginKind, str], Plugin[Any, Any]] = {}
        self._installed: list[InstalledPlugin] | None = None

    def load(self, kind: PluginKind, name: str) -> Plugin[Any, Any]:
        """Import a plugin and return its descriptor. Raises PluginLoadError."""
        key = (kind, name)
        if key not in self._loaded:
            installed = self._find(kind, name)
            module = self._import(installed)
            self._loaded[key] = self._describe(installed, module)
        return self._loaded[key]

    def names(self, kind: PluginKind) -> Sequence[str]:
        """What the installed plugins of a kind are called. Imports nothing."""
        return list(dict.fromkeys(plugin.name for plugin in self._offered(kind)))

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call a notice of every loaded plugin; what one raises is logged with its name and goes no further."""
        caller: pluggy.HookCaller = getattr(self._pluggy.hook, hook)
        for implementation in caller.get_hookimpls():
            try:
                implementation.function(*(arguments[name] for name in implementation.argnames))
            except Exception:
                logger.exception("plugin %s failed in %s", implementation.plugin_name, hook)

    def _find(self, kind: PluginKind, name: str) -> InstalledPlugin:
        offered = self._offered(kind)
        matches = [plugin for plugin in offered if plugin.name == name]
        if len(matches) == 1:
            return matches[0]
        if matches:
            rivals = ", ".join(f"{plugin.distribution} {plugin.version}" for plugin in matches)
            raise PluginLoadError(f"{kind} {name!r} is offered by more than one distribution: {rivals}")
        names = [plugin.name for plugin in offered]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise PluginLoadError(f"no {kind} plugin named {name!r} is installed (installed: {', '.join(names)}){hint}")

    def _offered(self, kind: PluginKind) -> list[InstalledPlugin]:
        if self._installed is None:
            self._installed = installed_plugins()
        return [plugin for plugin in self._installed if plugin.kind is kind]

    def _import(self, installed: InstalledPlugin) -> object:
        try:
            module: object = installed.entry_point.load()
        except Exception as error:
            raise PluginLoadError(f"{installed} failed to load: {type(error).__name__}: {error}") from error
        if not self._pluggy.is_registered(module):
            try:
                self._pluggy.register(module, name=f"{installed.distribution}:{installed.entry_point.value}")
                self._pluggy.check_pending()
            except (pluggy.PluginValidationError, ValueError) as error:
                self._pluggy.unregister(module)
                raise PluginLoadError(f"{installed} does not fit the hooks: {error}") from error
        return module

    def _describe(self, installed: InstalledPlugin, module: object) -> Plugin[Any, Any]:
        hook: pluggy.HookCaller = getattr(self._pluggy.hook, installed.kind.register_hook)
        functions = [found.function for found in hook.get_hookimpls() if found.plugin is module]
        if not functions:
            raise PluginLoadError(f"{installed} does not implement {installed.kind.register_hook}")
        try:
            descriptor = functions[0]()
        except Exception as error:
            raise PluginLoadError(f"{installed} failed to register: {type(error).__name__}: {error}") from error
        fault = _descriptor_fault(installed, descriptor)
        if fault:
            raise PluginLoadError(f"{installed} {fault}")
        assert isinstance(descriptor, Plugin)
        return descriptor


def _descriptor_fault(installed: InstalledPlugin, descriptor: object) -> str:
    """What is wrong with a descriptor, or an empty string."""
    if not isinstance(descriptor, Plugin):
        return f"registered a {type(descriptor).__name__} where a Plugin descriptor was expected"
    if descriptor.name != installed.name:
        return f"registered itself as {descriptor.name!r}, not by its entry point's name"
    if descriptor.api not in SUPPORTED_API_VERSIONS:
        supported = f"{SUPPORTED_API_VERSIONS.start} to {SUPPORTED_API_VERSIONS.stop - 1}"
        return f"was written for version {descriptor.api} of the contracts; this kernel supports {supported}"
    config_type: object = descriptor.config_type
    if not (isinstance(config_type, type) and issubclass(config_type, PluginConfig)):
        return "has a config_type that is no subclass of PluginConfig"
    create: object = descriptor.create
    if not callable(create):
        return "has a create that cannot be called"
    return _check_fault(descriptor) if installed.kind is PluginKind.CHECK else ""


def _check_fault(descriptor: Plugin[Any, Any]) -> str:
    if not isinstance(descriptor, CheckPlugin):
        return "registered a Plugin where a CheckPlugin was expected"
    if descriptor.name not in (field.encode_name for field in msgspec.structs.fields(descriptor.config_type)):
        return f"has a config_type without the key {descriptor.name!r}, by which definitions choose it"
    return ""
