"""Files, folders, fragments and flags: how they are found, read, and laid over each other."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consul_kernel.config.build import Host
from consul_kernel.config.load import ConfigSource, load_config, plain_table, validate_paths
from consul_kernel.config.model import AgentConfig
from consul_kernel.config.problems import ConfigErrors, ProblemLog
from consul_kernel.config.settings import SourceSettings, lay_all, lay_over, read_settings

Load = Callable[..., AgentConfig]


def errors_of(*paths: Path, host: Host, config_format: str = "") -> list[str]:
    found = validate_paths(paths, config_format, host=host)
    return [problem.format() for problem in found if not problem.is_warning]


def test_an_empty_file_is_a_valid_file(tmp_path: Path, host: Host) -> None:
    for name in ("a.hcl", "b.json"):
        (tmp_path / name).write_bytes(b"")
    config = load_config([ConfigSource(tmp_path)], host=host)
    assert (config.node_name, config.datacenter, config.server) == ("box", "dc1", False)
    assert config.advertise_addr == "10.1.2.3"


def test_nothing_at_all_is_a_client(load: Load) -> None:
    assert [warning.format() for warning in load().warnings] == [
        "data_dir: is not set: node id and registrations do not survive a restart"
    ]


def test_a_folder_is_read_by_name_and_without_its_subfolders(tmp_path: Path, host: Host) -> None:
    (tmp_path / "b.hcl").write_text('node_name = "b"\nretry_join = ["b"]')
    (tmp_path / "a.json").write_text('{"node_name": "a", "retry_join": ["a"], "data_dir": "/x"}')
    (tmp_path / "z.txt").write_text("not a configuration")
    (tmp_path / "sub.hcl").mkdir()
    config = load_config([ConfigSource(tmp_path)], host=host)
    assert (config.node_name, config.retry_join) == ("b", ("a", "b"))
    assert [warning.format() for warning in config.warnings] == [
        f"{tmp_path}/z.txt: skipped: its name ends in neither .hcl nor .json, and -config-format is not set"
    ]


def test_sources_are_laid_over_each_other_in_consuls_order(tmp_path: Path, host: Host) -> None:
    (tmp_path / "a.hcl").write_text('node_name = "file"\nretry_join = ["file"]\ndatacenter = "file"\ndomain = "file"')
    config = load_config(
        [
            ConfigSource(text='node_name = "fragment"\nretry_join = ["fragment"]'),
            ConfigSource(tmp_path / "a.hcl"),
        ],
        {"node_name": "flag", "datacenter": "flag", "retry_join": ["flag"]},
        host=host,
    )
    assert (config.node_name, config.datacenter, config.domain) == ("fragment", "flag", "file")
    assert config.retry_join == ("flag", "file", "fragment")


def test_blocks_and_maps_merge(load: Load) -> None:
    config = load(
        'ports { http = 1 dns = 2 }\nnode_meta { a = "1" b = "1" }\ngossip_lan { suspicion_mult = 2 }',
        'ports { http = 3 }\nnode_meta { b = "2" }\ngossip_lan { probe_interval = "2s" }',
        "node_meta {}",
    )
    assert (config.ports["http"], config.ports["dns"]) == (3, 2)
    assert config.node_meta == {"a": "1", "b": "2"}
    assert config.gossip_lan == {"suspicion_mult": 2, "probe_interval_ms": 2000}


def test_services_and_checks_of_all_files_come_together(load: Load) -> None:
    config = load(
        'service { name = "a" }\nservices = [{ name = "b" }]\ncheck { name = "x" ttl = "1s" }',
        'service { name = "c" }\nservice { name = "d" }\nchecks = [{ name = "y" ttl = "1s" }]',
    )
    assert [service.name for service in config.services] == ["a", "b", "c", "d"]
    assert [check.name for check in config.checks] == ["x", "y"]


def test_the_format_can_be_given(tmp_path: Path, host: Host) -> None:
    path = tmp_path / "agent.conf"
    path.write_text('{"node_name": "n"}')
    assert load_config([ConfigSource(path, format="json")], host=host).node_name == "n"
    path.write_text('node_name = "n"')
    assert load_config([ConfigSource(path, format="hcl")], host=host).node_name == "n"
    assert errors_of(path, host=host, config_format="yaml") == ["config: -config-format must be either 'hcl' or 'json'"]


def test_a_byte_order_mark_is_no_character(tmp_path: Path, host: Host) -> None:
    for name, text in (("a.hcl", 'node_name = "n"'), ("a.json", '{"node_name": "n"}')):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
        assert load_config([ConfigSource(tmp_path / name)], host=host).node_name == "n"


def test_files_that_cannot_be_read_are_errors_with_their_names(tmp_path: Path, host: Host) -> None:
    bad = tmp_path / "bad.hcl"
    bad.write_bytes(b'a = 1\nnode_name = "\xff"')
    assert errors_of(bad, tmp_path / "missing.hcl", host=host) == [
        f"{bad}:2: is not UTF-8: byte 0xff",
        f"{tmp_path}/missing.hcl: cannot be read: No such file or directory",
    ]


def test_a_link_that_leads_nowhere_is_an_error(tmp_path: Path, host: Host) -> None:
    (tmp_path / "a.hcl").symlink_to(tmp_path / "gone")
    assert errors_of(tmp_path, host=host) == [f"{tmp_path}/a.hcl: cannot be read: No such file or directory"]


def test_a_pipe_is_read_like_a_file(tmp_path: Path, host: Host) -> None:
    reader, writer = os.pipe()
    os.write(writer, b'node_name = "piped"')
    os.close(writer)
    try:
        source = ConfigSource(Path(f"/dev/fd/{reader}"), format="hcl")
        assert load_config([source], host=host).node_name == "piped"
    finally:
        os.close(reader)


def test_all_errors_of_all_sources_are_shown_at_once(tmp_path: Path, host: Host) -> None:
    (tmp_path / "1.hcl").write_text("retry_joinn = []\nports {\n  http = 70000\n}")
    (tmp_path / "2.hcl").write_text("a = [")
    (tmp_path / "3.json").write_text('{\n "server": "yes"\n}')
    with pytest.raises(ConfigErrors) as caught:
        load_config([ConfigSource(tmp_path)], host=host)
    assert str(caught.value).splitlines() == [
        f'{tmp_path}/1.hcl:1: retry_joinn: unknown key; did you mean "retry_join"?',
        f"{tmp_path}/1.hcl:3: ports.http: expected a port from 1 to 65535, or -1 to disable, got the number 70000",
        f"{tmp_path}/2.hcl:1: HCL syntax: the line or the file ends too early; is a value, a }} or a ] missing?",
        f'{tmp_path}/3.json:2: server: expected true or false, got the text "yes"',
    ]


def test_more_errors_than_anybody_reads_are_counted(load: Load) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load("\n".join(f"key_{number} = 1" for number in range(500)))
    assert len(caught.value.problems) == 201
    assert caught.value.problems[-1].message == "300 more errors are not shown"


def test_validate_gives_errors_and_warnings(tmp_path: Path, host: Host) -> None:
    path = tmp_path / "agent.hcl"
    path.write_text(f'data_dir = "{tmp_path}"\nui = true\nserver = 1')
    found = validate_paths([path], host=host)
    assert [(problem.format(), problem.is_warning) for problem in found] == [
        (f"{path}:3: server: expected true or false, got the number 1", False),
        (f"{path}:2: ui: is accepted, but has no effect in this version", True),
    ]


def test_dev_mode_is_consuls(load: Load) -> None:
    config = load(dev_mode=True)
    assert (config.server, config.bootstrap, config.dev_mode, config.data_dir) == (True, True, True, None)
    assert (config.bind_addr, config.advertise_addr, config.log_level) == ("127.0.0.1", "127.0.0.1", "debug")
    assert (config.raft_multiplier, config.http.dev_mode) == (1, True)
    assert config.gossip_lan == {
        "gossip_interval_ms": 100,
        "probe_interval_ms": 100,
        "probe_timeout_ms": 100,
        "suspicion_mult": 3,
    }


def test_files_decide_over_dev_mode(load: Load) -> None:
    config = load('log_level = "warn"\nbind_addr = "10.1.2.3"', dev_mode=True)
    assert (config.log_level, config.bind_addr) == ("warn", "10.1.2.3")


# --- laws of merging ---

_SOURCES = st.fixed_dictionaries(
    {},
    optional={
        "node_name": st.sampled_from(["a", "b"]),
        "retry_join": st.lists(st.sampled_from("xyz"), max_size=2),
        "node_meta": st.dictionaries(st.sampled_from("kl"), st.just("v")),
        "ports": st.dictionaries(st.sampled_from(["http", "dns"]), st.integers(1, 9)),
        "services": st.lists(st.just({"name": "s"}), max_size=2),
        "store": st.dictionaries(st.sampled_from(["disk", "memory"]), st.just({"path": "p"}), min_size=1, max_size=1),
        "interface": st.dictionaries(st.sampled_from(["http", "x"]), st.just({"port": 5})),
    },
)


def settings_of(source: dict[str, object]) -> SourceSettings:
    problems = ProblemLog()
    settings = read_settings(plain_table(source, "test"), problems)
    assert not [problem for problem in problems.errors if "names no plugin" not in problem.message]
    return settings


@settings(derandomize=True)
@given(_SOURCES, _SOURCES, _SOURCES)
def test_merging_is_associative_and_nothing_changes_nothing(
    first: dict[str, object], second: dict[str, object], third: dict[str, object]
) -> None:
    a, b, c = settings_of(first), settings_of(second), settings_of(third)
    assert lay_over(lay_over(a, b), c) == lay_over(a, lay_over(b, c)) == lay_all([a, b, c])
    assert lay_over(a, SourceSettings()) == lay_over(SourceSettings(), a) == a


@settings(derandomize=True)
@given(_SOURCES, _SOURCES)
def test_the_later_source_decides_and_lists_grow(first: dict[str, object], second: dict[str, object]) -> None:
    a, b = settings_of(first), settings_of(second)
    merged = lay_over(a, b)
    for path, setting in b.settings.items():
        if setting.kind.appends:
            before = a.settings[path].value if path in a.settings else ()
            assert merged.settings[path].value == (*before, *setting.value)
        elif isinstance(setting.value, dict):
            assert merged.settings[path].value == {**getattr(a.settings.get(path), "value", {}), **setting.value}
        else:
            assert merged.settings[path].value == setting.value
    assert set(merged.settings) == set(a.settings) | set(b.settings)


_KEYS = """ports http server services name check ttl store disk interface port acl enabled node_meta dns_config
service_ttl tags retry_join encrypt bind_addr weights"""
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "10s", "x", "1.2.3.4"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS.split()), inner, max_size=4),
    max_leaves=12,
)


@settings(derandomize=True)
@given(_JSON)
def test_whatever_is_written_only_config_errors_are_raised(value: object) -> None:
    text = json.dumps(value if isinstance(value, dict) else {"services": value, "store": value})
    host = Host(hostname=lambda: "box", addresses=lambda: ())
    try:
        config = load_config([ConfigSource(text=text, format="json")], host=host)
    except ConfigErrors as errors:
        problems = errors.problems
    else:
        problems = config.warnings
    assert all(problem.format() for problem in problems)


_HCL = st.recursive(
    st.sampled_from(['"x"', '"10s"', "5", "-1", "true", "null", "[]", '["a"]', "{}", "[{}]", "2.5"]).map(
        lambda text: f"= {text}"
    ),
    lambda inner: st.builds(
        lambda labels, body: labels + "{ " + " ".join(body) + " }",
        st.sampled_from(["", "", '"a" ', '"a" "b" ', '"" ', "x "]),
        st.lists(st.builds(lambda key, value: f"{key} {value}", st.sampled_from(_KEYS.split()), inner), max_size=3),
    ),
    max_leaves=8,
)


@settings(derandomize=True)
@given(st.lists(st.builds(lambda key, value: f"{key} {value}", st.sampled_from(_KEYS.split()), _HCL), max_size=3))
def test_whatever_blocks_are_written_only_config_errors_are_raised(lines: list[str]) -> None:
    host = Host(hostname=lambda: "box", addresses=lambda: ())
    try:
        config = load_config([ConfigSource(text="\n".join(lines))], host=host)
    except ConfigErrors as errors:
        problems = errors.problems
    else:
        problems = config.warnings
    assert all(problem.format() for problem in problems)
