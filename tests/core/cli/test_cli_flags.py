"""Flags: Go's `flag` package is the reference, texts included."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kernel.cli.flags import Flag, FlagError, FlagType, HelpRequested, parse_flags

FLAGS = (
    Flag("dev", FlagType.BOOL, ""),
    Flag("config", FlagType.TEXTS, ""),
    Flag("node", FlagType.TEXT, ""),
    Flag("port", FlagType.INT, ""),
    Flag("cas", FlagType.UINT, ""),
    Flag("meta", FlagType.TEXT_MAP, ""),
    Flag("status", FlagType.TEXT, "", default=".*"),
)


@pytest.mark.parametrize(
    ("arguments", "values", "positional"),
    [
        ([], {"dev": False, "config": [], "node": "", "port": 0, "meta": {}, "status": ".*"}, []),
        (["-dev"], {"dev": True}, []),
        (["--dev"], {"dev": True}, []),
        (["-dev=false"], {"dev": False}, []),
        (["-dev=T"], {"dev": True}, []),
        (["-dev", "false"], {"dev": True}, ["false"]),
        (["-config", "a", "--config=b", "-config", "c=d"], {"config": ["a", "b", "c=d"]}, []),
        (["-node", "-dev"], {"node": "-dev", "dev": False}, []),
        (["-node="], {"node": ""}, []),
        (["-node=a=b"], {"node": "a=b"}, []),
        (["-port", "-1"], {"port": -1}, []),
        (["-port=0x10"], {"port": 16}, []),
        (["-cas", "18446744073709551615"], {"cas": 2**64 - 1}, []),
        (["-meta", "a=1", "-meta=b=2=3", "-meta", "c"], {"meta": {"a": "1", "b": "2=3", "c": ""}}, []),
        (["key", "-dev"], {"dev": False}, ["key", "-dev"]),
        (["-dev", "--", "-node", "x"], {"dev": True, "node": ""}, ["-node", "x"]),
        (["-dev", "-"], {"dev": True}, ["-"]),
        (["-status", "alive"], {"status": "alive"}, []),
    ],
)
def test_flags_are_read_as_go_reads_them(arguments: list[str], values: dict[str, Any], positional: list[str]) -> None:
    parsed = parse_flags(FLAGS, arguments)
    assert {name: parsed.values[name] for name in values} == values
    assert parsed.positional == positional


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-x"], "flag provided but not defined: -x"),
        (["--x=1"], "flag provided but not defined: -x"),
        (["---dev"], "bad flag syntax: ---dev"),
        (["-=1"], "bad flag syntax: -=1"),
        (["--=1"], "bad flag syntax: --=1"),
        (["-node"], "flag needs an argument: -node"),
        (["-dev=maybe"], 'invalid boolean value "maybe" for -dev: parse error'),
        (["-port", "x"], 'invalid value "x" for flag -port: parse error'),
        (["-port", ""], 'invalid value "" for flag -port: parse error'),
        (["-cas", "-1"], 'invalid value "-1" for flag -cas: value out of range'),
        (["-port", "9223372036854775808"], 'invalid value "9223372036854775808" for flag -port: value out of range'),
    ],
)
def test_what_does_not_fit_is_refused_in_gos_words(arguments: list[str], text: str) -> None:
    with pytest.raises(FlagError) as raised:
        parse_flags(FLAGS, arguments)
    assert str(raised.value) == text


@pytest.mark.parametrize("argument", ["-h", "--h", "-help", "--help"])
def test_help_is_known_to_every_command(argument: str) -> None:
    with pytest.raises(HelpRequested):
        parse_flags(FLAGS, [argument])


def test_the_order_of_repeated_flags_is_kept_across_names() -> None:
    flags = (Flag("file", FlagType.TEXTS, ""), Flag("dir", FlagType.TEXTS, ""))
    parsed = parse_flags(flags, ["-file", "a", "-dir", "b", "-file", "c"])
    assert parsed.repeated == [("file", "a"), ("dir", "b"), ("file", "c")]


def test_starting_values_are_not_shared_between_parses() -> None:
    parse_flags(FLAGS, ["-config", "a", "-meta", "a=b"])
    parsed = parse_flags(FLAGS, [])
    assert (parsed.values["config"], parsed.values["meta"]) == ([], {})


@given(st.lists(st.text(max_size=12), max_size=8))
def test_any_arguments_are_parsed_or_refused(arguments: list[str]) -> None:
    try:
        parsed = parse_flags(FLAGS, arguments)
    except (FlagError, HelpRequested):
        return
    # What follows the flags is never changed.
    assert arguments[len(arguments) - len(parsed.positional) :] == parsed.positional


TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)


@given(
    node=TEXTS, configs=st.lists(TEXTS), port=st.integers(-(2**63), 2**63 - 1), dev=st.booleans(), joined=st.booleans()
)
def test_every_value_survives_both_ways_of_writing_it(
    node: str, configs: list[str], port: int, *, dev: bool, joined: bool
) -> None:
    pairs = [("node", node), ("port", str(port)), *(("config", config) for config in configs)]
    arguments = [f"-dev={str(dev).lower()}"]
    for name, value in pairs:
        arguments += [f"--{name}={value}"] if joined else [f"-{name}", value]
    parsed = parse_flags(FLAGS, arguments)
    assert (parsed.text("node"), parsed.number("port")) == (node, port)
    assert (parsed.texts("config"), parsed.is_set("dev")) == (configs, dev)
