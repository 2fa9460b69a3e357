"""Plugin blocks: which parts are chosen, and how options reach the plugin's own record."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest

from consul_kernel.config.blocks import PluginBlock, decode_block
from consul_kernel.config.build import Host
from consul_kernel.config.load import ConfigSource, load_config
from consul_kernel.config.model import AgentConfig
from consul_kernel.config.problems import ConfigErrors
from consul_kernel.contracts.plugin import PluginConfig, PluginKind
from consul_kernel.contracts.transport import Address

Load = Callable[..., AgentConfig]
Refuse = Callable[..., list[str]]

KEY = base64.b64encode(bytes(range(32))).decode()


class SomeConfig(PluginConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    path: str = ""
    folder: Path = Path("/")
    heartbeat_ms: int = 0
    sync: bool = True
    keys: list[str] = []
    size: Annotated[int, msgspec.Meta(ge=1)] = 1
    profile: Literal["lan", "wan"] = "lan"

    def __post_init__(self) -> None:
        if self.path == "bad":
            raise ValueError("path must not be bad")


def names(config: AgentConfig) -> dict[str, str]:
    return {kind.value: block.name for kind, block in config.plugins.items()}


def test_parts_that_no_block_names_are_the_defaults(load: Load, server: str) -> None:
    config = load(server)
    assert names(config) == {"transport": "tcp", "membership": "swim", "consensus": "raft", "store": "disk"}
    assert [block.name for block in config.interfaces] == ["http", "dns"]
    assert all(block.options == {} and block.source is None for block in config.plugins.values())


def test_without_a_data_dir_the_store_is_in_memory(load: Load, server: str) -> None:
    assert names(load())["store"] == "memory"
    assert names(load(dev_mode=True))["store"] == "memory"
    assert names(load(server, dev_mode=True))["store"] == "memory"


def test_swapping_the_store_block_is_all_it_takes(load: Load, server: str) -> None:
    assert names(load(server, 'store "memory" {}'))["store"] == "memory"
    assert names(load("server = true", 'store "memory" {}'))["store"] == "memory"
    config = load("server = true", 'store "disk" { path = "/srv" }')
    assert (names(config)["store"], config.plugins[PluginKind.STORE].options) == ("disk", {"path": "/srv"})


def test_gossip_is_sealed_where_a_key_or_a_block_says_so(load: Load) -> None:
    assert PluginKind.CIPHER not in load().plugins
    sealed = load(f'encrypt = "{KEY}"')
    assert (names(sealed)["cipher"], sealed.encrypt) == ("nacl", bytes(range(32)))
    assert names(load('cipher "other" { key = "k" }'))["cipher"] == "other"
    assert PluginKind.CIPHER not in load(f'encrypt = "{KEY}"', 'cipher "nacl" { enabled = false }').plugins


def test_keys_do_not_show_in_what_is_printed(load: Load) -> None:
    config = load(f'encrypt = "{KEY}"\ncipher "nacl" {{ key = "secret-secret" }}')
    assert "secret-secret" not in repr(config)
    assert repr(config.encrypt) not in repr(config)


def test_a_later_block_replaces_the_part_or_adds_to_it(load: Load) -> None:
    first = 'store "disk" { path = "/a" sync = true }'
    assert load(first, 'store "disk" { path = "/b" }').plugins[PluginKind.STORE].options == {"path": "/b", "sync": True}
    replaced = load(first, 'store "memory" {}').plugins[PluginKind.STORE]
    assert (replaced.name, replaced.options) == ("memory", {})


def test_interfaces_are_added_changed_and_switched_off(load: Load) -> None:
    config = load(
        'interface "ui" { theme = "dark" }\ninterface "dns" { enabled = false }\ninterface "http" { grace_ms = 5 }'
    )
    assert [(block.name, block.options) for block in config.interfaces] == [
        ("http", {"grace_ms": 5}),
        ("ui", {"theme": "dark"}),
    ]
    assert [
        block.name
        for block in load('interface "dns" { enabled = false }', 'interface "dns" { enabled = true }').interfaces
    ] == [
        "http",
        "dns",
    ]


def test_port_and_address_of_an_interface_are_those_of_the_agent(load: Load) -> None:
    config = load('interface "http" { port = 1 address = "10.0.0.1" }\ninterface "ui" { port = 2 }')
    assert config.interface_bind("http") == (Address("10.0.0.1", 1),)
    assert config.interface_bind("ui") == (Address("127.0.0.1", 2),)
    assert load('interface "http" { port = 1 }', "ports { http = 3 }").ports["http"] == 3
    assert load("ports { http = 3 }", 'interface "http" { port = 1 }').ports["http"] == 1
    assert load('interface "http" { port = -1 }').interface_bind("http") == ()
    assert load().interface_bind("unheard") == ()
    assert options_of(config) == {"http": {}, "dns": {}, "ui": {"port": 2}}


def options_of(config: AgentConfig) -> dict[str, dict[str, object]]:
    return {block.name: block.options for block in config.interfaces}


def test_http_may_listen_on_a_unix_socket(load: Load) -> None:
    for text in ('addresses { http = "unix:///run/x" }', 'interface "http" { address = "unix:///run/x" }'):
        assert options_of(load(text))["http"] == {"address": "unix:///run/x"}
    assert load('addresses { http = "unix:///run/x" }').interface_bind("http") == ()


def test_json_names_the_plugin_by_a_key(host: Host) -> None:
    text = (
        '{"store": {"disk": {"path": "/x"}}, "interface": [{"dns": {"port": 5}}, {"ui": {}}], "transport": {"tcp": {}}}'
    )
    config = load_config([ConfigSource(text=text, format="json")], host=host)
    assert config.plugins[PluginKind.STORE].options == {"path": "/x"}
    assert [block.name for block in config.interfaces] == ["http", "dns", "ui"]
    assert config.ports["dns"] == 5


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('store "a" {}\nstore "b" {}', '0.hcl:2: store "b": one store is enough, and "a" is already chosen here'),
        ('store = "memory"', '0.hcl:1: store: expected store "name" { … }, got the text "memory"'),
        ("store { path = 1 }", '0.hcl:1: store.path: names no plugin; write store "name" { … }'),
        ("store {}", '0.hcl:1: store: names no plugin; write store "name" { … }'),
        ('store "a" "b" {}', '0.hcl:1: store: takes one label: store "name" { … }'),
        ('store "" {}', "0.hcl:1: store: a plugin's name is not empty"),
        (
            'transport "tcp" { enabled = false }',
            '0.hcl:1: transport "tcp".enabled: an agent needs this part; name another plugin instead of disabling it',
        ),
        ('interface "http" { enabled = "no" }', '0.hcl:1: interface "http".enabled: expected true or false'),
        (
            'interface "http" { port = "80" }',
            '0.hcl:1: interface "http".port: expected a port from 1 to 65535, or -1 to disable, got the text "80"',
        ),
        (
            'encrypt = "AAAA"',
            (
                "0.hcl:1: encrypt: has invalid key: 3 bytes, where 16, 24 or 32 are expected; "
                "make one with consul-kernel keygen"
            ),
        ),
        ('encrypt = "%"', "0.hcl:1: encrypt: has invalid key: not base64; make one with consul-kernel keygen"),
    ],
)
def test_blocks_that_choose_nothing_are_errors(text: str, error: str, refuse: Refuse) -> None:
    assert refuse(text) == [error]


def block_of(load: Load, text: str, kind: PluginKind = PluginKind.STORE) -> PluginBlock:
    return load(text).plugins[kind]


def test_options_become_the_plugins_record(load: Load) -> None:
    block = block_of(
        load, 'store "x" {\n path = "p"\n folder = "/f"\n heartbeat_ms = 5\n sync = false\n keys = ["a"]\n}'
    )
    assert decode_block(block, SomeConfig) == SomeConfig(
        path="p", folder=Path("/f"), heartbeat_ms=5, sync=False, keys=["a"]
    )
    assert decode_block(PluginBlock(PluginKind.STORE, "x"), SomeConfig) == SomeConfig()


def test_every_wrong_option_is_named_with_its_line(load: Load) -> None:
    block = block_of(
        load, 'store "x" {\n pth = "p"\n heartbeat_ms = "5"\n keys = [1]\n size = 0\n zzz = 1\n profile = "x"\n}'
    )
    with pytest.raises(ConfigErrors) as caught:
        decode_block(block, SomeConfig)
    assert str(caught.value).splitlines() == [
        '0.hcl:2: store "x".pth: unknown key; did you mean "path"?',
        '0.hcl:3: store "x".heartbeat_ms: expected a whole number, got a text in quotes',
        '0.hcl:4: store "x".keys: expected a text in quotes, got a whole number - at `$[0]`',
        '0.hcl:5: store "x".size: expected a whole number of at least 1',
        '0.hcl:6: store "x".zzz: unknown key; known are path, folder, heartbeat_ms, sync, keys, size, profile',
        '0.hcl:7: store "x".profile: expected one of "lan", "wan"',
    ]


def test_what_the_plugin_itself_refuses_is_an_error_of_its_block(load: Load) -> None:
    with pytest.raises(ConfigErrors, match=r'0.hcl:1: store "x": path must not be bad'):
        decode_block(block_of(load, 'store "x" { path = "bad" }'), SomeConfig)


def test_kernel_keys_of_an_interface_reach_only_plugins_that_know_them(load: Load) -> None:
    class PortConfig(PluginConfig, frozen=True, kw_only=True):
        port: int = 0

    (block,) = [block for block in load('interface "ui" { port = 5 }').interfaces if block.name == "ui"]
    assert decode_block(block, PortConfig).port == 5
    assert decode_block(block, PluginConfig) == PluginConfig()


def test_parts_that_have_a_say_in_dns_keep_the_order_of_the_file(load: Load) -> None:
    """There may be none, or several; a later block of the same name is laid over the first, in its place."""
    assert load().dns_answers == ()
    first = 'dns_answer "b" { x = 1 }\ndns_answer "a" {}\ndns_answer "c" { enabled = false }'
    config = load(first, 'dns_answer "b" { y = 2 }')
    assert [(block.name, block.options) for block in config.dns_answers] == [("b", {"x": 1, "y": 2}), ("a", {})]
    assert all(block.kind is PluginKind.DNS_ANSWER for block in config.dns_answers)
    assert load('dns_answer "b" {}', 'dns_answer "b" { enabled = false }').dns_answers == ()
