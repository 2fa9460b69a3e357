"""The agent's flags become sources and overrides."""

from __future__ import annotations

from pathlib import Path

import pytest

from consul_kernel.config.build import Host
from consul_kernel.config.flags import (
    KEY_FLAGS,
    SOURCE_FLAGS,
    FlagValueError,
    FlagValues,
    flag_help,
    is_switch,
    read_flags,
)
from consul_kernel.config.keys import SCHEMA
from consul_kernel.config.load import ConfigSource, load_config


def test_flags_become_sources_and_overrides() -> None:
    given = [
        ("config-file", "a.hcl"),
        ("hcl", "server = true"),
        ("config-dir", "d"),
        ("retry-join", "a"),
        ("http-port", "8501"),
        ("retry-join", "b"),
        ("node-meta", "k:v:w"),
        ("server", "true"),
        ("retry-interval", "5s"),
        ("dev", "1"),
    ]
    assert read_flags(given) == FlagValues(
        sources=[
            ConfigSource(Path("a.hcl")),
            ConfigSource(text="server = true", name="-hcl[0]"),
            ConfigSource(Path("d")),
        ],
        overrides={
            "retry_join": ["a", "b"],
            "ports": {"http": 8501},
            "node_meta": {"k": "v:w"},
            "server": True,
            "retry_interval": "5s",
            "dev_mode": True,
        },
    )


def test_the_format_is_for_all_files_and_no_fragment() -> None:
    values = read_flags([("config-file", "a"), ("config-format", "json"), ("hcl", "x = 1")])
    assert [source.format for source in values.sources] == ["json", ""]


def test_what_flags_say_is_loaded(host: Host) -> None:
    values = read_flags([("dev", "true"), ("node", "n"), ("client", "127.0.0.1 ::1"), ("dns-port", "-1")])
    config = load_config(values.sources, values.overrides, host=host)
    assert (config.dev_mode, config.node_name, config.ports["dns"]) == (True, "n", -1)
    assert config.client_addr == ("127.0.0.1", "::1")


@pytest.mark.parametrize(
    ("flag", "text", "error"),
    [
        ("server", "yes", 'invalid boolean value "yes" for -server: parse error'),
        ("dev", "yes", 'invalid boolean value "yes" for -dev: parse error'),
        ("http-port", "x", 'invalid value "x" for flag -http-port: parse error'),
        ("retry-interval", "5", 'invalid value "5" for flag -retry-interval: time: missing unit in duration "5"'),
    ],
)
def test_values_of_the_wrong_type_are_refused_in_gos_words(flag: str, text: str, error: str) -> None:
    with pytest.raises(FlagValueError) as caught:
        read_flags([(flag, text)])
    assert str(caught.value) == error


def test_a_flag_that_does_not_exist() -> None:
    with pytest.raises(KeyError):
        read_flags([("nope", "1")])


def test_every_flag_sets_a_key_and_has_help() -> None:
    assert set(KEY_FLAGS.values()) <= set(SCHEMA.keys)
    assert all(flag_help(flag) for flag in (*KEY_FLAGS, *SOURCE_FLAGS))
    assert [flag for flag in SOURCE_FLAGS if is_switch(flag)] == ["dev"]
    assert is_switch("server")
    assert not is_switch("node")
