"""The agent's flags: which key each one sets, and what a command line of them amounts to.

Names and meanings are Consul's (`consul agent`). How flags are found among arguments is the command line's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from consul_kernel.structs.duration import DurationError, parse_duration_ns

from .keys import SCHEMA
from .load import DEV_MODE, ConfigSource
from .schema import KeyType

SOURCE_FLAGS: Mapping[str, str] = {
    "config": "Agent file or folder of agent files. May be repeated.",
    "config-file": "Agent file in HCL or JSON, by its ending. May be repeated.",
    "config-dir": "Folder whose .hcl and .json files are read in the order of their names. May be repeated.",
    "config-format": "Read all files as hcl or json, whatever their ending.",
    "hcl": "A fragment of an agent file in HCL. May be repeated.",
    "dev": "Development mode: one server, all in memory, quick timers.",
}
"""Flags that name sources, with their help. Only `dev` is a switch."""

KEY_FLAGS: Mapping[str, str] = {
    "advertise": "advertise_addr",
    "advertise-wan": "advertise_addr_wan",
    "allow-write-http-from": "http_config.allow_write_http_from",
    "alt-domain": "alt_domain",
    "bind": "bind_addr",
    "bootstrap": "bootstrap",
    "bootstrap-expect": "bootstrap_expect",
    "check_output_max_size": "check_output_max_size",
    "client": "client_addr",
    "data-dir": "data_dir",
    "datacenter": "datacenter",
    "default-query-time": "default_query_time",
    "disable-host-node-id": "disable_host_node_id",
    "disable-keyring-file": "disable_keyring_file",
    "dns-port": "ports.dns",
    "domain": "domain",
    "enable-local-script-checks": "enable_local_script_checks",
    "enable-script-checks": "enable_script_checks",
    "encrypt": "encrypt",
    "grpc-port": "ports.grpc",
    "http-port": "ports.http",
    "https-port": "ports.https",
    "join": "start_join",
    "join-wan": "start_join_wan",
    "log-file": "log_file",
    "log-json": "log_json",
    "log-level": "log_level",
    "log-rotate-bytes": "log_rotate_bytes",
    "log-rotate-duration": "log_rotate_duration",
    "log-rotate-max-files": "log_rotate_max_files",
    "max-query-time": "max_query_time",
    "node": "node_name",
    "node-id": "node_id",
    "node-meta": "node_meta",
    "pid-file": "pid_file",
    "protocol": "protocol",
    "raft-protocol": "raft_protocol",
    "recursor": "recursors",
    "rejoin": "rejoin_after_leave",
    "retry-interval": "retry_interval",
    "retry-interval-wan": "retry_interval_wan",
    "retry-join": "retry_join",
    "retry-join-wan": "retry_join_wan",
    "retry-max": "retry_max",
    "retry-max-wan": "retry_max_wan",
    "serf-lan-allowed-cidrs": "serf_lan_allowed_cidrs",
    "serf-lan-bind": "serf_lan",
    "serf-lan-port": "ports.serf_lan",
    "serf-wan-allowed-cidrs": "serf_wan_allowed_cidrs",
    "serf-wan-bind": "serf_wan",
    "serf-wan-port": "ports.serf_wan",
    "server": "server",
    "server-port": "ports.server",
    "syslog": "enable_syslog",
    "ui": "ui",
    "ui-dir": "ui_dir",
}
"""Flags that set a key."""


class FlagValueError(ValueError):
    """A flag's value that is not of its type. The message is that of Go's package flag."""


def is_switch(flag: str) -> bool:
    """Whether a flag may stand without a value, as Go's boolean flags do."""
    return flag == "dev" or (flag in KEY_FLAGS and SCHEMA.keys[KEY_FLAGS[flag]].type is KeyType.BOOL)


def flag_help(flag: str) -> str:
    """What a flag is for."""
    return SOURCE_FLAGS.get(flag) or SCHEMA.keys[KEY_FLAGS[flag]].doc or f"Sets {KEY_FLAGS[flag]}."


@dataclass(slots=True)
class FlagValues:
    """What the flags of one command line say: `load_config(values.sources, values.overrides)`."""

    sources: list[ConfigSource] = field(default_factory=list)
    overrides: dict[str, Any] = field(default_factory=dict)


def read_flags(given: Iterable[tuple[str, str]]) -> FlagValues:
    """Flags with their values, in their order; a switch without a value has "true".

    Raises FlagValueError for a value that is not of its flag's type, KeyError for a flag that does not exist.
    """
    values = FlagValues()
    file_format = ""
    for flag, text in given:
        if flag in {"config", "config-file", "config-dir"}:
            values.sources.append(ConfigSource(Path(text)))
        elif flag == "hcl":
            number = sum(source.path is None for source in values.sources)
            values.sources.append(ConfigSource(text=text, name=f"-hcl[{number}]"))
        elif flag == "config-format":
            file_format = text
        elif flag == "dev":
            values.overrides[DEV_MODE] = _read_bool(flag, text)
        else:
            _set(values.overrides, flag, text)
    if file_format:
        values.sources = [
            ConfigSource(source.path, format=file_format) if source.path is not None else source
            for source in values.sources
        ]
    return values


def _set(overrides: dict[str, Any], flag: str, text: str) -> None:
    """Put a flag's value where its key is."""
    path = KEY_FLAGS[flag]
    *blocks, name = path.split(".")
    for block in blocks:
        overrides = overrides.setdefault(block, {})
    kind = SCHEMA.keys[path].type
    if kind is KeyType.TEXTS:
        overrides.setdefault(name, []).append(text)
    elif kind is KeyType.TEXT_MAP:
        key, _, value = text.partition(":")
        overrides.setdefault(name, {})[key] = value
    else:
        overrides[name] = _read(flag, kind, text)


def _read(flag: str, kind: KeyType, text: str) -> object:
    if kind is KeyType.BOOL:
        return _read_bool(flag, text)
    if kind in {KeyType.INT, KeyType.PORT}:
        try:
            return int(text)
        except ValueError:
            raise FlagValueError(f'invalid value "{text}" for flag -{flag}: parse error') from None
    if kind is KeyType.DURATION:
        try:
            parse_duration_ns(text)
        except DurationError as error:
            raise FlagValueError(f'invalid value "{text}" for flag -{flag}: {error}') from None
    return text


_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def _read_bool(flag: str, text: str) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise FlagValueError(f'invalid boolean value "{text}" for -{flag}: parse error')
