"""The settings of one source, by key; and how sources are laid over each other.

Consul's rules (agent/config/merge.go): a later scalar replaces an earlier one, a later list is added behind an earlier
one, and blocks as well as maps (`node_meta`, `response_headers`, …) merge key by key.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from consul_kernel.contracts.plugin import SEVERAL, PluginKind

from .blocks import PLUGIN_KINDS, PluginBlock, read_blocks
from .keys import SCHEMA
from .problems import ProblemLog, SourcePosition, nearest_key
from .schema import Effect, Key, KeyType
from .tree import Entry, Listing, Node, Scalar, Table, describe
from .values import BadValueError, read_value

UNIX_SCHEME = "unix://"


@dataclass(frozen=True, slots=True)
class Setting:
    """A key's value, typed as `values.read_value` says (services and checks: a tuple of nodes), and where it stands."""

    value: Any
    position: SourcePosition
    kind: KeyType


@dataclass(slots=True)
class SourceSettings:
    """What one source says, or several laid over each other."""

    settings: dict[str, Setting] = field(default_factory=dict)
    blocks: dict[tuple[PluginKind, str], PluginBlock] = field(default_factory=dict)
    """Plugin blocks by kind and name; a single-part kind has at most one."""


def read_settings(table: Table, problems: ProblemLog) -> SourceSettings:
    """The settings of one source; whatever is wrong with it goes to the log."""
    reader = _Reader(problems)
    reader.read_table(table, "")
    return reader.result


def lay_over(earlier: SourceSettings, later: SourceSettings) -> SourceSettings:
    """Both sources as one, the later one deciding."""
    settings = dict(earlier.settings)
    for path, setting in later.settings.items():
        before = settings.get(path)
        if before is not None and setting.kind.appends:
            setting = Setting((*before.value, *setting.value), before.position, setting.kind)
        elif before is not None and isinstance(before.value, dict) and isinstance(setting.value, dict):
            setting = Setting({**before.value, **setting.value}, setting.position, setting.kind)
        settings[path] = setting
    blocks = dict(earlier.blocks)
    for (kind, name), block in later.blocks.items():
        _put_block(blocks, kind, name, block)
    return SourceSettings(settings, blocks)


def lay_all(sources: Iterable[SourceSettings]) -> SourceSettings:
    """All sources as one, in their order."""
    result = SourceSettings()
    for source in sources:
        result = lay_over(result, source)
    return result


def _put_block(
    blocks: dict[tuple[PluginKind, str], PluginBlock], kind: PluginKind, name: str, block: PluginBlock
) -> None:
    """Lay a block over one of the same name; another name takes the place of a single-part kind."""
    before = blocks.get((kind, name))
    if before is not None:
        blocks[kind, name] = before.overlaid(block)
        return
    if kind not in SEVERAL:
        for other_kind, other in list(blocks):
            if other_kind is kind:
                del blocks[other_kind, other]
    blocks[kind, name] = block


def _suggest(key: str, block: str) -> str:
    """The path of the key that was meant: the nearest of the same block, or the only one of this name elsewhere."""
    names = SCHEMA.names_in(block)
    nearest = nearest_key(key, names if block else (*names, *PLUGIN_KINDS))
    if nearest:
        return f"{block}.{nearest}" if block else nearest
    elsewhere = [path for path in SCHEMA.keys if path.rpartition(".")[2] == key]
    return elsewhere[0] if len(elsewhere) == 1 else ""


class _Reader:
    """Reads one source."""

    def __init__(self, problems: ProblemLog) -> None:
        self._problems = problems
        self.result = SourceSettings()

    def read_table(self, table: Table, block: str) -> None:
        for entry in table.entries:
            self._read_entry(entry, block)

    def _read_entry(self, entry: Entry, block: str) -> None:
        if not block and entry.key in PLUGIN_KINDS:
            for plugin_block in read_blocks(entry, self._problems):
                self._read_plugin_block(plugin_block)
            return
        names = SCHEMA.names_in(block)
        name = entry.key if entry.key in names else entry.key.lower()
        path = f"{block}.{name}" if block else name
        if name not in names:
            self._unknown(entry, block)
        elif entry.labels:
            label = entry.labels[0]
            self._problems.error(
                f'takes no label; write its name inside of the block: {name} {{ name = "{label}" … }}'
                if name in {"service", "services", "check", "checks"}
                else f'takes no label "{label}"',
                entry.position,
                key=path,
            )
        elif SCHEMA.is_block(path) and path not in SCHEMA.keys:
            self._read_block(entry.value, path)
        else:
            self._read_key(SCHEMA.keys[path], entry)

    def _unknown(self, entry: Entry, block: str) -> None:
        path = f"{block}.{entry.key}" if block else entry.key
        suggestion = "" if self._problems.is_full else _suggest(entry.key, block)
        self._problems.error("unknown key", entry.position, key=path, suggestion=suggestion)

    def _read_block(self, node: Node, path: str) -> None:
        """A block of known keys; a list of blocks is read as one."""
        for table in node.items if isinstance(node, Listing) else (node,):
            if isinstance(table, Table):
                self.read_table(table, path)
            elif not (isinstance(table, Scalar) and table.value is None):
                self._problems.error(f"expected {KeyType.BLOCK.value}, got {describe(table)}", table.position, key=path)

    def _read_key(self, key: Key, entry: Entry) -> None:
        node = entry.value
        if isinstance(node, Scalar) and node.value is None:
            return  # JSON's null says nothing
        if key.type in {KeyType.SERVICES, KeyType.CHECKS, KeyType.WATCHES}:
            items = node.items if isinstance(node, Listing) else (node,)
            plural = {"service": "services", "check": "checks"}.get(key.path, key.path)
            self._append(plural, items, entry.position, key.type)
            return
        try:
            value = read_value(key.type, node, key.path, self._problems)
        except BadValueError:
            return
        if key.effect is not Effect.USED and not self._accept(key, value, entry.position):
            return
        self._put(key.path, Setting(value, entry.position, key.type))

    def _accept(self, key: Key, value: object, position: SourcePosition) -> bool:
        """Whether a key without an effect may be given this value."""
        if key.is_off(value):
            return True
        if key.effect is Effect.REFUSED:
            self._problems.error(
                f"this version does not do {key.reason} yet and will not start as if it did; remove or disable it",
                position,
                key=key.path,
            )
            return False
        self._problems.warn("is accepted, but has no effect in this version", position, key=key.path)
        return True

    def _append(self, path: str, items: tuple[Node, ...], position: SourcePosition, kind: KeyType) -> None:
        before = self.result.settings.get(path)
        value = (*before.value, *items) if before is not None else items
        self.result.settings[path] = Setting(value, before.position if before is not None else position, kind)

    def _put(self, path: str, setting: Setting) -> None:
        before = self.result.settings.get(path)
        if before is not None:
            if isinstance(before.value, dict) and isinstance(setting.value, dict):
                setting = Setting({**before.value, **setting.value}, before.position, setting.kind)
            elif before.value != setting.value:
                self._problems.warn(
                    f"is given again here; line {before.position.line} counts no more", setting.position, key=path
                )
        self.result.settings[path] = setting

    def _read_plugin_block(self, block: PluginBlock) -> None:
        if block.kind is PluginKind.INTERFACE:
            block = self._read_interface_options(block)
        elif block.kind not in SEVERAL:
            others = [name for kind, name in self.result.blocks if kind is block.kind and name != block.name]
            if others:
                self._problems.error(
                    f'one {block.kind} is enough, and "{others[0]}" is already chosen here',
                    block.source,
                    key=block.path,
                )
                return
        _put_block(self.result.blocks, block.kind, block.name, block)

    def _read_interface_options(self, block: PluginBlock) -> PluginBlock:
        """`port` and `address` of an interface are `ports.<name>` and `addresses.<name>`.

        The interfaces that Consul has are told where to bind and nothing else, so the two leave the block's options;
        other plugins may know keys of these names. A unix socket is the plugin's own business.
        """
        options = dict(block.options)
        for option, block_name, kind in (("port", "ports", KeyType.PORT), ("address", "addresses", KeyType.TEXT)):
            value = options.get(option)
            if value is None or (isinstance(value, str) and value.startswith(UNIX_SCHEME)):
                continue
            if block.name in SCHEMA.names_in("addresses"):
                del options[option]
            self._put_interface_key(block, option, f"{block_name}.{block.name}", kind)
        return PluginBlock(block.kind, block.name, options, block.source, block.positions)

    def _put_interface_key(self, block: PluginBlock, option: str, path: str, kind: KeyType) -> None:
        position = block.positions.get(option, block.source or SourcePosition(""))
        key = SCHEMA.keys.get(path, Key(path, kind))
        try:
            value = read_value(kind, Scalar(block.options[option], position), f"{block.path}.{option}", self._problems)
        except BadValueError:
            return
        if key.effect is Effect.USED or self._accept(key, value, position):
            self._put(path, Setting(value, position, kind))
