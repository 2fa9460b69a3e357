"""Plugin blocks: `store "disk" { path = "…" }` chooses a part and configures it.

The kernel knows which part is meant; the options are decoded into the plugin's own record once it is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import msgspec

from consul_kernel.contracts.plugin import KeyFaultError, PluginConfig, PluginKind

from .problems import ProblemLog, SourcePosition, nearest_key
from .tree import Entry, Listing, Node, Table, describe, to_plain
from .wording import choices, wording

PLUGIN_KINDS: Mapping[str, PluginKind] = {kind.value: kind for kind in PluginKind if kind is not PluginKind.CHECK}
"""The kinds that have blocks. `check` is the word for definitions, which choose their plugin by a key."""

KERNEL_OPTIONS = ("port", "address", "enabled")
"""Keys of interface blocks that the kernel reads: the first two are `ports.<name>` and `addresses.<name>`."""

ConfigT = TypeVar("ConfigT", bound=PluginConfig)


@dataclass(frozen=True, slots=True)
class PluginBlock:
    """One chosen part: `options` as written, `positions` where, by dotted key; `source` is None for a default."""

    kind: PluginKind
    name: str
    options: dict[str, Any] = field(default_factory=dict, repr=False)  # may hold keys
    source: SourcePosition | None = None
    positions: dict[str, SourcePosition] = field(default_factory=dict, repr=False)

    @property
    def path(self) -> str:
        """How messages name the block: `store "disk"`."""
        return f'{self.kind.value} "{self.name}"'

    def overlaid(self, later: PluginBlock) -> PluginBlock:
        """This block with the options of a later one of the same name laid over it."""
        return PluginBlock(
            self.kind,
            self.name,
            {**self.options, **later.options},
            later.source or self.source,
            {**self.positions, **later.positions},
        )


def read_blocks(entry: Entry, problems: ProblemLog) -> Iterator[PluginBlock]:
    """The blocks of one entry whose key is a kind: an HCL block with its label, or JSON's `{"store": {"disk": {}}}`."""
    kind = PLUGIN_KINDS[entry.key]
    if len(entry.labels) > 1:
        problems.error(f'takes one label: {kind} "name" {{ … }}', entry.position, key=kind)
    elif entry.labels:
        yield from _one_block(kind, entry.labels[0], entry.value, entry.position, problems)
    else:
        yield from _named_blocks(kind, entry.value, problems)


def _named_blocks(kind: PluginKind, node: Node, problems: ProblemLog) -> Iterator[PluginBlock]:
    """Blocks whose names are keys of a table, as in JSON."""
    if isinstance(node, Listing):
        for item in node.items:
            yield from _named_blocks(kind, item, problems)
        return
    if not isinstance(node, Table):
        problems.error(f'expected {kind} "name" {{ … }}, got {describe(node)}', node.position, key=kind)
        return
    if not node.entries:
        problems.error(f'names no plugin; write {kind} "name" {{ … }}', node.position, key=kind)
    for entry in node.entries:
        if entry.labels or not isinstance(entry.value, (Table, Listing)):
            problems.error(f'names no plugin; write {kind} "name" {{ … }}', entry.position, key=f"{kind}.{entry.key}")
        else:
            yield from _one_block(kind, entry.key, entry.value, entry.position, problems)


def _one_block(
    kind: PluginKind, name: str, node: Node, position: SourcePosition, problems: ProblemLog
) -> Iterator[PluginBlock]:
    tables = node.items if isinstance(node, Listing) else (node,)
    for table in tables:
        if not isinstance(table, Table):
            problems.error(f"expected a block, got {describe(table)}", table.position, key=f'{kind} "{name}"')
        elif not name.strip():
            problems.error("a plugin's name is not empty", position, key=kind)
        else:
            plain = to_plain(table)
            yield PluginBlock(kind, name, plain.value, position, plain.positions)


def decode_block(block: PluginBlock, config_type: type[ConfigT]) -> ConfigT:
    """The block's options as the plugin's own record.

    Raises ConfigErrors with every option that the record does not have (and the nearest that it has) or whose value has
    the wrong type, each with file and line.
    """
    problems = ProblemLog()
    config = collect_block(block, config_type, problems)
    problems.raise_errors()
    assert config is not None, "a block that cannot be decoded has errors"
    return config


def collect_block(block: PluginBlock, config_type: type[ConfigT], problems: ProblemLog) -> ConfigT | None:
    """As `decode_block`, noting the errors in `problems`; None when there are any."""
    fields = {item.encode_name: item.name for item in msgspec.structs.fields(config_type)}
    hints = get_type_hints(config_type, include_extras=True)
    values: dict[str, Any] = {}
    good = True
    for key, value in block.options.items():
        position = block.positions.get(key, block.source)
        path = f"{block.path}.{key}"
        if key not in fields:
            if block.kind is PluginKind.INTERFACE and key in KERNEL_OPTIONS:
                continue
            suggestion = nearest_key(key, fields)
            known = "" if suggestion or not fields else f"; known are {', '.join(fields)}"
            problems.error(f"unknown key{known}", position, key=path, suggestion=suggestion)
            good = False
            continue
        try:
            values[fields[key]] = convert_option(value, hints[fields[key]])
        except OptionValueError as error:
            problems.error(str(error), position, key=path)
            good = False
    if not good:
        return None
    return _construct(block, config_type, values, problems)


def _construct(
    block: PluginBlock, config_type: type[ConfigT], values: dict[str, Any], problems: ProblemLog
) -> ConfigT | None:
    """The record; what the plugin's own `__post_init__` refuses is an error of the block."""
    try:
        return config_type(**values)
    except KeyFaultError as error:
        position = block.positions.get(error.key, block.source)
        problems.error(error.text, position, key=f"{block.path}.{error.key}")
        return None
    except (TypeError, ValueError) as error:
        problems.error(str(error), block.source, key=block.path)
        return None


class OptionValueError(ValueError):
    """A value that a plugin's key cannot have, in the words of agent files."""


def convert_option(value: Any, hint: Any) -> Any:
    """The value of a plugin's key as its record has it. Raises OptionValueError."""
    try:
        return msgspec.convert(value, hint, dec_hook=_decode_hook)
    except msgspec.ValidationError as error:
        raise OptionValueError(choices(hint) or wording(str(error))) from None


def _decode_hook(wanted: type, value: Any) -> Any:
    if wanted is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(f"{wanted.__name__} has no form in an agent file")
