"""Which command runs, with what exit code, and what it imports."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from consul_kernel import __version__
from consul_kernel.cli import main as cli_main
from consul_kernel.cli.index import COMMANDS, GROUPS
from consul_kernel.cli.main import load_command
from core.cli.conftest import Run


@pytest.mark.parametrize("arguments", [(), ("nope",), ("nope", "-h"), ("kvv", "get")])
def test_no_or_an_unknown_command_is_127_with_the_overview_on_stderr(run: Run, arguments: tuple[str, ...]) -> None:
    ran = run(*arguments)
    assert ran.code == 127
    assert ran.out == ""
    assert "Available commands are:" in ran.err


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("acl", '"acl" is a command of Consul that this version does not have.'),
        ("member", "Unknown command \"member\"; did you mean 'members'?"),
        ("zzz", 'Unknown command "zzz"\n'),
    ],
)
def test_an_unknown_command_is_named(run: Run, name: str, text: str) -> None:
    assert run(name).err.startswith(text)


@pytest.mark.parametrize("flag", ["-h", "-help", "--help"])
def test_help_is_0_on_stdout(run: Run, flag: str) -> None:
    ran = run(flag)
    assert (ran.code, ran.err) == (0, "")
    assert all(name in ran.out for name in ("agent", "members", *(group for group in GROUPS if " " not in group)))


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_for_every_flag(run: Run, name: str) -> None:
    ran = run(*name.split(" "), "-h")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"Usage: consul-kernel {name}")
    assert all(f"  -{flag.name}" in ran.out for flag in load_command(name).flags)
    assert load_command(name).synopsis == COMMANDS[name].synopsis


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_an_unknown_flag_is_1_with_gos_words(run: Run, name: str) -> None:
    ran = run(*name.split(" "), "-nope")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("flag provided but not defined: -nope\n")


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_a_group_alone_is_1_and_shows_its_commands(run: Run, group: str) -> None:
    for arguments, code in (((group,), 1), ((group, "nope"), 1), ((group, "-h"), 0)):
        ran = run(*arguments)
        assert ran.code == code
        text = ran.out if code == 0 else ran.err
        assert all(name.split(" ")[1] in text for name in COMMANDS if name.startswith(f"{group} "))


def test_help_wins_wherever_it_stands_but_not_behind_the_terminator(run: Run) -> None:
    assert run("kv", "get", "a", "-h").code == 0
    assert run("kv", "get", "--", "a", "-h").code == 1


@pytest.mark.parametrize("arguments", [("version",), ("-v",), ("--version",)])
def test_version(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).out == f"consul-kernel v{__version__}\n"


def test_version_as_json(run: Run) -> None:
    assert json.loads(run("version", "-format=json").out) == {"Version": __version__}
    assert run("version", "-format=xml").code == 1


def test_keygen_makes_another_32_bytes_each_time(run: Run) -> None:
    keys = {run("keygen").out.strip() for _ in range(3)}
    assert len(keys) == 3
    assert {len(base64.b64decode(key)) for key in keys} == {32}
    assert run("keygen", "extra").err == "Too many arguments (expected 0, got 1)\n"


def test_plugins_lists_what_is_installed(run: Run) -> None:
    lines = [line.split() for line in run("plugins").out.splitlines()]
    assert lines[0] == ["Kind", "Name", "Distribution", "Version"]
    assert ["interface", "dns", "consul-kernel", __version__] in lines


def test_plugins_shows_which_kinds_of_check_a_file_chooses(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "checks.hcl"
    file.write_text(
        'bind_addr = "127.0.0.1"\n'
        'check { name = "c" udp = "a:1" interval = "1s" }\n'
        'service { name = "s" checks = [{ tcp = "a:1" interval = "1s" }, { ttl = "1s" }] }\n'
    )
    lines = [line.split() for line in run("plugins", f"-config={file}").out.splitlines()]
    chosen = {line[1] for line in lines if line[0] == "check" and line[-1] == "yes"}
    assert chosen == {"tcp", "udp"}


def test_client_commands_import_nothing_of_the_server() -> None:
    """Measured as imports rather than as time: those are what makes a start slow."""
    code = (
        "import sys; from consul_kernel.cli.main import main; main(sys.argv[1:]);"
        "print(*sorted(m for m in sys.modules if not m.startswith('consul_kernel.cli')), file=sys.stderr)"
    )
    for arguments in (["version"], ["kv", "get", "-http-addr=127.0.0.1:1", "a"]):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
        modules = done.stderr.splitlines()[-1].split(" ")
        assert [name for name in modules if name.startswith("consul_kernel")] == ["consul_kernel"]
        assert not {"asyncio", "aiohttp", "msgspec", "hcl2", "lark", "pluggy", "rich"} & set(modules)


@pytest.fixture
def agent_runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[Any], dict[str, Any]]]:
    """What the daemon was started with, instead of starting it."""
    started: list[tuple[list[Any], dict[str, Any]]] = []

    def run_agent(sources: list[Any], overrides: dict[str, Any]) -> int:
        started.append((list(sources), dict(overrides)))
        return 7

    monkeypatch.setattr("consul_kernel.agent.daemon.run_agent", run_agent)
    return started


def test_flags_of_the_agent_become_settings(run: Run, agent_runs: list[tuple[list[Any], dict[str, Any]]]) -> None:
    code = run(
        "agent",
        *("-config-file", "a.hcl", "-config-dir", "d", "-config=b.hcl", "-hcl", "limits { }", "-server", "-ui=false"),
        *("-node", "n1", "-http-port", "1", "-dns-port=-1", "-bootstrap-expect", "3", "-node-meta", "a=b"),
        *("-retry-join", "10.0.0.1", "-retry-join=10.0.0.2", "-retry-interval", "5s", "-bind", "127.0.0.1"),
    ).code
    assert code == 7
    [(sources, overrides)] = agent_runs
    assert [str(source.path) for source in sources[:3]] == ["a.hcl", "d", "b.hcl"]
    assert [(source.path, source.text) for source in sources[3:]] == [(None, "limits { }")]
    assert overrides == {
        "server": True,
        "ui_config": {"enabled": False},
        "node_name": "n1",
        "ports": {"http": 1, "dns": -1},
        "bootstrap_expect": 3,
        "node_meta": {"a": "b"},
        "retry_join": ["10.0.0.1", "10.0.0.2"],
        "retry_interval": "5s",
        "bind_addr": "127.0.0.1",
    }


def test_flags_without_a_command_are_the_agents(run: Run, agent_runs: list[tuple[list[Any], dict[str, Any]]]) -> None:
    assert run("-config", "agent.hcl", "-dev").code == 7
    [(sources, overrides)] = agent_runs
    assert [str(source.path) for source in sources] == ["agent.hcl"]
    assert overrides == {"dev_mode": True}


def test_the_agent_takes_no_arguments_behind_its_flags(run: Run, agent_runs: list[Any]) -> None:
    ran = run("agent", "-dev", "extra", "-server")
    assert (ran.code, ran.err) == (1, "Too many arguments (expected 0, got 2)\n")
    assert agent_runs == []


def test_every_setting_flag_names_a_key_that_files_may_have() -> None:
    from consul_kernel.cli.commands.agent import SETTING_FLAGS
    from consul_kernel.config.keys import SCHEMA

    assert [flag.name for flag in SETTING_FLAGS if flag.key not in SCHEMA.keys] == []


SCRIPT = "import sys; from consul_kernel.cli.main import run; sys.exit(run())"


def test_a_reader_that_goes_away_is_no_crash() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "agent", "-h"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (1, b"")


def test_an_interrupt_is_130_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("consul_kernel.cli.main.main", interrupt)
    assert cli_main.run() == 130


def test_the_script_returns_the_commands_code() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, "nope"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (127, "")


def test_commands_of_the_index_and_of_the_modules_are_the_same() -> None:
    from importlib import import_module

    modules = {entry.module for entry in COMMANDS.values()}
    found = {
        command.name for module in modules for command in import_module(f"consul_kernel.cli.commands.{module}").COMMANDS
    }
    assert found == set(COMMANDS)
