"""The blocks of the ciphers with shared keys: where keys come from, and which file and line a bad one is told with."""

from __future__ import annotations

import base64
from pathlib import Path

import msgspec
import pytest

import consul_kernel_aes_gcm
import consul_kernel_nacl
from consul_kernel.config.blocks import decode_block
from consul_kernel.config.load import ConfigSource, load_config
from consul_kernel.config.problems import ConfigErrors
from consul_kernel.contracts.cipher import Cipher, CipherContext, CipherPlugin
from consul_kernel.contracts.errors import PluginStartError
from consul_kernel.contracts.plugin import PluginKind

KEY = bytes(range(32))
OTHER = bytes(range(1, 33))
PLUGINS = {"nacl": consul_kernel_nacl.PLUGIN, "aes-gcm": consul_kernel_aes_gcm.PLUGIN}


@pytest.fixture(params=PLUGINS)
def plugin(request: pytest.FixtureRequest) -> CipherPlugin:
    return PLUGINS[request.param]


def text(key: bytes) -> str:
    return base64.b64encode(key).decode()


def create(plugin: CipherPlugin, encrypt: bytes | None, **block: object) -> Cipher:
    return plugin.create(CipherContext(encrypt=encrypt), msgspec.convert(block, plugin.config_type))


def test_block_key_comes_before_encrypt_and_keys(plugin: CipherPlugin) -> None:
    third = bytes(32)
    ring = create(plugin, OTHER, key=text(KEY), keys=[text(third), text(OTHER)]).keys()
    assert list(ring) == [KEY, OTHER, third]
    assert list(create(plugin, OTHER, keys=[text(KEY)]).keys()) == [OTHER, KEY]
    assert list(create(plugin, None, keys=[text(KEY), text(OTHER)]).keys()) == [KEY, OTHER]


@pytest.mark.parametrize("length", [16, 24, 32])
def test_keys_of_every_length_that_consul_takes(plugin: CipherPlugin, length: int) -> None:
    assert list(create(plugin, KEY[:length], keys=[text(OTHER[:length])]).keys()) == [KEY[:length], OTHER[:length]]


def test_no_key_at_all_says_what_to_set(plugin: CipherPlugin) -> None:
    with pytest.raises(PluginStartError, match=f'"{plugin.name}" has no key: set `key` in its block, or `encrypt`'):
        create(plugin, None)


@pytest.mark.parametrize(
    ("keys", "line", "message"),
    [
        ('key = "not base64!"', 3, "key: is not base64: "),
        (f'key = "{text(bytes(31))}"', 3, "key: holds 31 bytes, expected 16, 24 or 32"),
        (f'key = "{text(KEY)}"\n  keys = [\n    "{text(OTHER)}",\n    "c2VjcmV0"\n  ]', 6, "keys[1]: holds 6 bytes"),
        ("key = 7", 3, "key: expected a text in quotes, got a whole number"),
        ('kye = "a"', 3, "kye: unknown key; known are key, keys"),
    ],
)
def test_bad_keys_are_named_with_file_and_line_and_not_shown(
    plugin: CipherPlugin, tmp_path: Path, keys: str, line: int, message: str
) -> None:
    file = tmp_path / "agent.hcl"
    file.write_text(f'data_dir = "{tmp_path}"\ncipher "{plugin.name}" {{\n  {keys}\n}}\n')
    block = load_config([ConfigSource(file)]).plugins[PluginKind.CIPHER]
    with pytest.raises(ConfigErrors) as caught:
        decode_block(block, plugin.config_type)
    assert str(caught.value).startswith(f'{file}:{line}: cipher "{plugin.name}".{message}')
    assert "not base64!" not in str(caught.value)
    assert "c2VjcmV0" not in str(caught.value)
