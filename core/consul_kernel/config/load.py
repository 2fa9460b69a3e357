"""The one way in: files, folders, fragments and flags become an `AgentConfig`, or all their errors at once.

Order, as Consul's (agent/config/builder.go): defaults; dev mode's defaults; lists given by flags; files in the order
given, folders' files by name; other flags; `-hcl` fragments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .build import Host, build_config
from .hcl import parse_hcl
from .json_source import parse_json
from .model import AgentConfig
from .problems import ConfigErrors, ConfigProblem, ProblemLog, SourcePosition, SourceSyntaxError
from .settings import SourceSettings, lay_all, read_settings
from .tree import Entry, Listing, Node, Scalar, Table

MAX_FILE_BYTES = 16 * 1024 * 1024
FORMATS = ("hcl", "json")

_GOSSIP_DEV: Mapping[str, Any] = {
    "gossip_interval": "100ms",
    "probe_interval": "100ms",
    "probe_timeout": "100ms",
    "suspicion_mult": 3,
}
_DEV_SETTINGS: Mapping[str, Any] = {
    "bind_addr": "127.0.0.1",
    "enable_debug": True,
    "log_level": "DEBUG",
    "server": True,
    "gossip_lan": _GOSSIP_DEV,
    "gossip_wan": _GOSSIP_DEV,
    "performance": {"raft_multiplier": 1},
}
"""What `-dev` changes before any file is read (Consul: agent/config/default.go, DevSource)."""


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """One source: a file or folder (`-config-file`, `-config-dir`, `-config`), or with `path` None a text (`-hcl`).

    `format` is `hcl`, `json`, or "" to go by the file's name (a text is then HCL); `name` is what messages call a text.
    """

    path: Path | None = None
    text: str = ""
    name: str = "-hcl"
    format: str = ""


DEV_MODE = "dev_mode"
"""The one key of overrides that no file may have: `-dev`."""


def load_config(
    sources: Sequence[ConfigSource] = (), overrides: Mapping[str, Any] | None = None, *, host: Host | None = None
) -> AgentConfig:
    """The configuration that sources and overrides give together.

    `overrides` are the flags of the command line as nested dicts of plain values, e.g. `{"ports": {"http": 8501}}`, and
    `{"dev_mode": True}` for `-dev`. Raises ConfigErrors with every error found. Warnings are in the result, or in the
    exception.
    """
    problems = ProblemLog()
    config = _load(sources, overrides or {}, problems, host or Host())
    problems.raise_errors()
    return config


def validate_paths(
    paths: Iterable[Path | str], config_format: str = "", *, host: Host | None = None
) -> list[ConfigProblem]:
    """Errors, then warnings, of files and folders read as one configuration; none at all for a good one."""
    return read_paths(paths, config_format, host=host)[1]


def read_paths(
    paths: Iterable[Path | str], config_format: str = "", *, host: Host | None = None
) -> tuple[AgentConfig, list[ConfigProblem]]:
    """What files and folders give together as far as they can be understood, and the problems of `validate_paths`."""
    problems = ProblemLog()
    sources = [ConfigSource(Path(path), format=config_format) for path in paths]
    config = _load(sources, {}, problems, host or Host())
    return config, [*problems.errors, *problems.warnings]


def _load(
    sources: Sequence[ConfigSource], overrides: Mapping[str, Any], problems: ProblemLog, host: Host
) -> AgentConfig:
    dev_mode = overrides.get(DEV_MODE) is True
    lists, values = _split_lists({key: value for key, value in overrides.items() if key != DEV_MODE})
    found = [read_settings(plain_table(_DEV_SETTINGS, "-dev"), ProblemLog())] if dev_mode else []
    found.append(read_settings(plain_table(lists, "command line"), problems))
    for source in sources:
        if source.format and source.format not in FORMATS:
            problems.error("config: -config-format must be either 'hcl' or 'json'")
        elif source.path is not None:
            found.extend(_read_path(source.path, source.format, problems))
    found.append(read_settings(plain_table(values, "command line"), problems))
    for source in sources:
        if source.path is None and source.format in {"", *FORMATS}:
            found.extend(_parse(source.text, source.name, source.format or "hcl", problems))
    return build_config(lay_all(found), problems, dev_mode=dev_mode, host=host)


def _split_lists(overrides: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Lists of flags stand before those of files, other flags decide over files."""
    lists = {key: value for key, value in overrides.items() if isinstance(value, (list, tuple))}
    return lists, {key: value for key, value in overrides.items() if key not in lists}


def plain_table(values: Mapping[str, Any], source: str) -> Table:
    """Plain values as a source without lines."""
    position = SourcePosition(source)
    node = _node(values, position)
    assert isinstance(node, Table)
    return node


def _node(value: Any, position: SourcePosition) -> Node:
    if isinstance(value, Mapping):
        return Table(tuple(Entry(str(key), _node(item, position), position) for key, item in value.items()), position)
    if isinstance(value, (list, tuple)):
        return Listing(tuple(_node(item, position) for item in value), position)
    return Scalar(value if isinstance(value, (str, int, float, bool)) or value is None else str(value), position)


def _format_of(path: Path) -> str:
    suffix = path.name.rpartition(".")[2]
    return suffix if suffix in FORMATS and path.name != suffix else ""


def _read_path(path: Path, config_format: str, problems: ProblemLog) -> list[SourceSettings]:
    """The settings of a file, or of a folder's files by name."""
    try:
        if path.is_dir():
            return _read_folder(path, config_format, problems)
    except (OSError, ValueError) as error:
        problems.error(f"cannot be read: {_cause(error)}", SourcePosition(str(path)))
        return []
    return _read_file(path, config_format, problems)


def _read_folder(folder: Path, config_format: str, problems: ProblemLog) -> list[SourceSettings]:
    found: list[SourceSettings] = []
    for path in sorted(folder.iterdir(), key=lambda item: item.name):
        if not path.is_dir():
            found.extend(_read_file(path, config_format, problems))
    return found


def _read_file(path: Path, config_format: str, problems: ProblemLog) -> list[SourceSettings]:
    source = SourcePosition(str(path))
    file_format = config_format or _format_of(path)
    try:
        if not file_format and path.exists():
            problems.warn("skipped: its name ends in neither .hcl nor .json, and -config-format is not set", source)
            return []
        data = _read_bounded(path)
    except (OSError, ValueError) as error:
        problems.error(f"cannot be read: {_cause(error)}", source)
        return []
    if len(data) > MAX_FILE_BYTES:
        problems.error(f"is larger than {MAX_FILE_BYTES} bytes: not a configuration", source)
        return []
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.error(f"is not UTF-8: byte 0x{data[error.start]:02x}", SourcePosition(str(path), line))
        return []
    return _parse(text, str(path), file_format, problems)


def _read_bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES + 1)


def _cause(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _parse(text: str, source: str, file_format: str, problems: ProblemLog) -> list[SourceSettings]:
    try:
        table = parse_json(text, source) if file_format == "json" else parse_hcl(text, source)
    except SourceSyntaxError as error:
        problem = error.problem
        problems.error(problem.message, problem.position, key=problem.key)
        return []
    return [read_settings(table, problems)]


__all__ = ["ConfigErrors", "ConfigSource", "Host", "load_config", "read_paths", "validate_paths"]
