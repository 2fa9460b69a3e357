"""The keys of plugin blocks as a document: `python -m consul_kernel.cli.plugin_reference > docs/reference-plugins.md`.

A plugin's record says it all: names, types and defaults are those of its fields, and a key's meaning is the docstring
right behind its field. With the name of a distribution as its argument the command prints the same sections for the
plugins that it offers, for a README of their own.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from consul_kernel.contracts.plugin import Plugin, PluginKind
from consul_kernel.plugins import PluginManager, installed_plugins

from .record_docs import key_docs

__all__ = ["OWN_DISTRIBUTION", "key_docs", "render_distribution", "render_page", "render_plugin"]

OWN_DISTRIBUTION = "consul-kernel"

_PREAMBLE = """\
# Plugin reference

<!-- Made from the code by `python -m consul_kernel.cli.plugin_reference`; a test compares the two. -->

The plugins that come with consul-kernel, and every key of their blocks. A block may be left out, and so may each of its
keys. How blocks choose parts, and what a file says besides: [reference-configuration.md](reference-configuration.md). A
`check` has no block: its keys stand in check definitions, and that of the heading chooses it
([contracts/check.md](contracts/check.md)).

An unknown key, or a value of the wrong type, is an error with its line; `consul-kernel validate FILE` shows them all.
Some keys are the kernel's own: `enabled = false` in an `interface`, `cipher` or `dns_answer` block switches it off, and
`port` and `address` in any `interface` block are `ports.NAME` and `addresses.NAME`.

`consul-kernel plugins` lists what else is installed; the keys of a third party's plugin are in its own documents.
`python -m consul_kernel.cli.plugin_reference DISTRIBUTION` prints them in the form of this page.
"""


def render_page() -> str:
    """The whole document about the default plugins, in Markdown."""
    return f"{_PREAMBLE}\n{render_distribution(OWN_DISTRIBUTION)}"


def render_distribution(distribution: str) -> str:
    """A section for each plugin that a distribution offers. Raises PluginLoadError where one cannot be loaded."""
    manager = PluginManager()
    offered = [plugin for plugin in installed_plugins() if plugin.distribution == distribution]
    return "\n".join(render_plugin(plugin.kind, manager.load(plugin.kind, plugin.name)) for plugin in offered)


def render_plugin(kind: PluginKind, plugin: Plugin[Any, Any]) -> str:
    """One plugin: its heading, its summary, what its record says of itself, and a table of its keys."""
    heading = f"## check with `{plugin.name}`" if kind is PluginKind.CHECK else f'## {kind} "{plugin.name}"'
    parts = [heading, "", _sentence(plugin.summary)]
    if plugin.capabilities:
        parts.append(f"\nCapabilities: {', '.join(f'`{name}`' for name in sorted(plugin.capabilities))}.")
    keys = msgspec.structs.fields(plugin.config_type)
    if not keys:
        return "\n".join([*parts, "", "The block takes no keys.", ""])
    parts += ["", inspect.cleandoc(plugin.config_type.__doc__ or ""), ""]
    hints = get_type_hints(plugin.config_type, include_extras=True)
    docs = key_docs(plugin.config_type)
    rows = [
        (f"`{key.encode_name}`", _type(hints[key.name]), _default(key), docs.get(key.name, "").replace("|", "\\|"))
        for key in keys
    ]
    return "\n".join([*parts, *_table(("Key", "Type", "Default", "Meaning"), rows), ""])


_WORDS: Mapping[object, str] = {str: "text", int: "int", float: "number", bool: "bool", Path: "path", type(None): ""}


def _type(hint: Any) -> str:
    """A type as agent files know it."""
    if hint in _WORDS:
        return _WORDS[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        bounds = [_bounds(note) for note in arguments[1:] if isinstance(note, msgspec.Meta)]
        return " ".join([_type(arguments[0]), *bounds]).strip()
    if origin is Literal:
        return ", ".join(f'`"{choice}"`' for choice in arguments)
    if origin is list:
        return f"list of {_type(arguments[0])}s"
    if origin is dict:
        held = _type(arguments[1])
        return f"map of {held.replace('list of', 'lists of', 1) if held.startswith('list') else f'{held}s'}"
    if arguments:
        return " or ".join(word for word in map(_type, arguments) if word)
    return f"`{hint}`"


def _bounds(note: msgspec.Meta) -> str:
    """`≥ 0`, `4096 to 8192`, or nothing."""
    if note.ge is not None and note.le is not None:
        return f"from {note.ge} to {note.le}"
    limits = (("≥", note.ge), (">", note.gt), ("≤", note.le), ("<", note.lt))
    return ", ".join(f"{sign} {limit}" for sign, limit in limits if limit is not None)


def _default(key: msgspec.structs.FieldInfo) -> str:
    value = key.default if key.default is not msgspec.NODEFAULT else key.default_factory()
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _table(heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [_line(heading), _line(["---"] * len(heading)), *(_line(row) for row in rows)]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(render_distribution(sys.argv[1]) if sys.argv[1:] else render_page(), end="")
