"""docs/reference-plugins.md says what the plugins' records say, and they say what each key means."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from msgspec import Meta

from consul_kernel.cli.plugin_reference import OWN_DISTRIBUTION, key_docs, render_page, render_plugin
from consul_kernel.contracts.plugin import Plugin, PluginConfig, PluginKind
from consul_kernel.plugins import PluginManager, installed_plugins

REFERENCE = Path(__file__).parents[3] / "docs" / "reference-plugins.md"
DEFAULTS = [(plugin.kind, plugin.name) for plugin in installed_plugins() if plugin.distribution == OWN_DISTRIBUTION]


class AcmeConfig(PluginConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of every type one."""

    level: Literal["low", "high"] = "low"
    """How much;
    a | in a meaning is no border.
    """
    path: Path | None = None
    peers: list[str] = []
    """Who else."""
    rate: Annotated[float, Meta(gt=0)] = 0.5
    is_strict: bool = True


class WiderConfig(AcmeConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A record on another one."""

    bytes_max: Annotated[int, Meta(ge=1, le=9)] = 3
    """How many."""


def plugin(config_type: type[PluginConfig], **changes: object) -> Plugin[object, object]:
    arguments: dict[str, object] = {"name": "acme", "api": 1, "create": object, "config_type": config_type, **changes}
    return Plugin(**arguments)  # type: ignore[arg-type]


def test_the_page_agrees_with_the_code() -> None:
    assert REFERENCE.read_text(encoding="utf-8") == render_page(), (
        "run python -m consul_kernel.cli.plugin_reference > docs/reference-plugins.md"
    )


@pytest.mark.parametrize(("kind", "name"), DEFAULTS, ids=lambda part: str(part))
def test_every_key_of_a_default_plugin_has_a_meaning(kind: PluginKind, name: str) -> None:
    config_type = PluginManager().load(kind, name).config_type
    docs = key_docs(config_type)
    assert [key for key in config_type.__struct_fields__ if not docs.get(key)] == []


def test_a_row_tells_type_default_and_meaning() -> None:
    text = render_plugin(PluginKind.STORE, plugin(WiderConfig, summary="of a third party", capabilities={"durable"}))
    assert text.splitlines() == [
        '## store "acme"',
        "",
        "Of a third party.",
        "",
        "Capabilities: `durable`.",
        "",
        "A record on another one.",
        "",
        "| Key | Type | Default | Meaning |",
        "| --- | --- | --- | --- |",
        '| `level` | `"low"`, `"high"` | `"low"` | How much; a \\| in a meaning is no border. |',
        "| `path` | path |  |  |",
        "| `peers` | list of texts | `[]` | Who else. |",
        "| `rate` | number > 0 | `0.5` |  |",
        "| `is_strict` | bool | true |  |",
        "| `bytes_max` | int from 1 to 9 | `3` | How many. |",
    ]


def test_a_plugin_without_keys_says_so() -> None:
    assert render_plugin(PluginKind.STORE, plugin(PluginConfig)).splitlines()[-1] == "The block takes no keys."
