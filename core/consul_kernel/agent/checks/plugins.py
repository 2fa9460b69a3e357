"""The kinds of check that plugins offer: which one a definition chooses, and what it is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_type_hints

import msgspec

from consul_kernel.config.blocks import OptionValueError, convert_option
from consul_kernel.config.problems import plain
from consul_kernel.contracts.check import CheckPlugin
from consul_kernel.contracts.errors import AgentError, PluginLoadError, RequestError
from consul_kernel.contracts.plugin import PluginConfig, PluginKind
from consul_kernel.plugins import PluginManager
from consul_kernel.structs.check import CheckDefinition
from consul_kernel.structs.check_keys import unknown_field

from .kinds import check_kind

_ATTRIBUTES = {"args": "script_args"}
"""Keys that have another name in the definition's record."""
_NOT_HANDED_ON = frozenset({"kind", "options", "token"})


class CheckKinds:
    """The installed check plugins. One is imported when the first definition names it."""

    def __init__(self, plugins: PluginManager) -> None:
        self._plugins = plugins

    def names(self) -> Sequence[str]:
        """The keys of all installed kinds. Imports none."""
        return self._plugins.names(PluginKind.CHECK)

    def plugin(self, kind: str) -> CheckPlugin:
        """The descriptor of a kind. Raises PluginLoadError."""
        descriptor = self._plugins.load(PluginKind.CHECK, kind)
        assert isinstance(descriptor, CheckPlugin), "the plugin manager has looked at it"
        return descriptor

    def choose(self, definition: CheckDefinition, keys: Iterable[str]) -> str:
        """The kind of a definition that has further `keys`, which its record lacks; "" where nothing says one.

        A kind whose key another one takes besides its own gives way to it, as `args` does to `docker_container_id`.
        Raises RequestError where two kinds are left, PluginLoadError where a plugin does not work.
        """
        written = {plain(key) for key in keys}
        own = check_kind(definition)
        named = [name for name in self.names() if plain(name) in written]
        candidates = [*named, *([own] if own else [])]
        if len(candidates) > 1:
            taken = {key for name in named for key in self.fields(name).values() if key != name}
            candidates = [name for name in candidates if name not in taken]
        if len(candidates) > 1:
            first, second = candidates[:2]
            raise RequestError(
                f"Invalid check: `{first}` and `{second}` are two kinds of check, and a definition has one"
            )
        return candidates[0] if candidates else ""

    def fields(self, kind: str) -> Mapping[str, str]:
        """The keys that a kind takes, by their spelling without case, underscores and dashes. PluginLoadError."""
        names = (field.encode_name for field in msgspec.structs.fields(self.plugin(kind).config_type))
        return {plain(name): name for name in names}

    def check_value(self, kind: str, key: str, value: Any) -> None:
        """Raises OptionValueError where a key of a kind cannot have this value."""
        convert_option(value, _hints(self.plugin(kind).config_type)[key])

    def claim(self, definition: CheckDefinition, keys: Mapping[str, Any]) -> CheckDefinition:
        """The definition with `kind` and `options` from keys of a JSON body (`structs.check_keys.ClaimKeys`)."""
        try:
            kind = self.choose(definition, keys)
            fields = self.fields(kind) if kind in self.names() else {}
        except PluginLoadError as error:
            raise AgentError(str(error)) from error
        options: dict[str, Any] = {}
        for key, value in keys.items():
            name = fields.get(plain(key))
            if name is None:
                raise unknown_field(key)
            if value is None:
                continue
            try:
                self.check_value(kind, name, value)
            except OptionValueError as error:
                raise RequestError(f"{key}: {error}") from None
            options[name] = value
        return claimed(definition, kind, options)

    def config(self, definition: CheckDefinition, plugin: CheckPlugin) -> PluginConfig:
        """What the plugin is told of a definition. Raises RequestError where it refuses that."""
        hints = _hints(plugin.config_type)
        values: dict[str, Any] = {}
        for field in msgspec.structs.fields(plugin.config_type):
            value = _value(definition, field.encode_name)
            if value is None:
                continue
            try:
                values[field.name] = convert_option(value, hints[field.encode_name])
            except OptionValueError as error:
                raise RequestError(f"Invalid check: {field.encode_name}: {error}") from None
        try:
            return plugin.config_type(**values)
        except (TypeError, ValueError) as error:
            raise RequestError(f"Invalid check: {error}") from error


def claimed(definition: CheckDefinition, kind: str, options: dict[str, Any]) -> CheckDefinition:
    """The definition with what its other keys say."""
    kind = kind if options.get(kind) else ""
    return msgspec.structs.replace(definition, kind=kind, options=options or None)


def _value(definition: CheckDefinition, key: str) -> Any:
    """What a definition says of a key; None where it says nothing."""
    if definition.options and key in definition.options:
        return definition.options[key]
    if key in _NOT_HANDED_ON:
        return None
    return getattr(definition, _ATTRIBUTES.get(key, key), None) or None


def _hints(config_type: type[PluginConfig]) -> Mapping[str, Any]:
    """The types of a record's keys."""
    hints = get_type_hints(config_type, include_extras=True)
    return {field.encode_name: hints[field.name] for field in msgspec.structs.fields(config_type)}
