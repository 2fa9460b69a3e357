"""An agent takes up what has changed in its file, and nothing of a file that is broken."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from consul_kernel.agent.agent import Agent
from consul_kernel.agent.reload import RELOADABLE, fixed_keys
from consul_kernel.config.load import ConfigSource, load_config
from consul_kernel.config.model import AgentConfig
from consul_kernel.contracts.errors import AgentError
from consul_kernel.contracts.interface import Interface, InterfaceSettings
from consul_kernel.plugins import PluginManager
from harness.agents import free_ports
from harness.http import request


class FileAgent:
    """A client agent in this process, its file, and its HTTP address."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "agent.json"
        lan, http = free_ports(2)
        self.http = f"127.0.0.1:{http}"
        self._base: dict[str, Any] = {
            "node_name": "n1",
            "bind_addr": "127.0.0.1",
            "data_dir": str(folder / "data"),
            "ports": {"http": http, "dns": -1, "serf_lan": lan},
        }
        self.write()
        self.agent = Agent(self.load(), PluginManager(), load=self.load)

    def load(self) -> AgentConfig:
        return load_config([ConfigSource(self.file)])

    def write(self, **changes: Any) -> None:
        self.file.write_text(json.dumps({**self._base, **changes}, indent=1))


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[FileAgent]:
    level = logging.getLogger().level
    made = FileAgent(tmp_path)
    await made.agent.start()
    yield made
    await made.agent.stop()
    logging.getLogger().setLevel(level)


async def test_services_metadata_and_log_level_are_taken_up(
    running: FileAgent, caplog: pytest.LogCaptureFixture
) -> None:
    running.write(services=[{"name": "web", "port": 80}], node_meta={"rack": "r2"}, log_level="debug")
    caplog.set_level(logging.INFO)
    await running.agent.reload()
    agent = running.agent
    assert agent.local.services()["web"].port == 80
    assert agent.describe()["Meta"]["rack"] == "r2"
    assert logging.getLogger().level == logging.DEBUG
    assert "configuration reloaded, changed: log_level, node_meta, services" in caplog.text
    running.write()
    await agent.reload()
    assert not agent.local.services()
    assert "rack" not in agent.describe()["Meta"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"services": [{"name": "web"}], "datacentre": "x"}, ("agent.json:", "datacentre", "datacenter")),
        ({"services": [{"name": "web"}], "interface": {"http": {"keepalive": 1}}}, ('interface "http".keepalive',)),
        ({"services": [{"name": "web"}], "store": {"nobodys": {}}, "server": True}, ("nobodys",)),
        (
            {
                "services": [{"name": "web"}],
                "checks": [{"name": "c", "udp": "h:1", "udp_message": "", "interval": "1s"}],
            },
            ("udp_message is empty",),
        ),
    ],
)
async def test_a_file_that_a_start_would_refuse_changes_nothing(
    running: FileAgent, changes: Mapping[str, Any], words: tuple[str, ...]
) -> None:
    running.write(**changes)
    with pytest.raises(AgentError) as refused:
        await running.agent.reload()
    assert all(word in str(refused.value) for word in words), refused.value
    assert not running.agent.local.services()


async def test_no_json_at_all_is_told_with_its_line(running: FileAgent) -> None:
    running.file.write_text('{\n "node_name": \n')
    with pytest.raises(AgentError, match=r"agent\.json:\d"):
        await running.agent.reload()


async def test_what_waits_for_a_restart_is_named_without_its_value(
    running: FileAgent, caplog: pytest.LogCaptureFixture
) -> None:
    running.write(
        encrypt="pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=",
        retry_interval="7s",
        performance={"rpc_hold_timeout": "9s"},
        max_query_time="5m",
        interface={"http": {"address": "127.0.0.2", "keepalive_timeout_ms": 1000}},
    )
    caplog.clear()
    await running.agent.reload()
    (line,) = [record.getMessage() for record in caplog.records if "only when the agent is restarted" in record.message]
    keys = set(line.partition("restarted: ")[2].split(", "))
    assert {"addresses", "encrypt", "retry_interval", "performance.rpc_hold_timeout", "max_query_time"} <= keys
    assert "pUqJ" not in caplog.text


async def test_the_interface_serves_by_the_new_settings(running: FileAgent) -> None:
    running.write(http_config={"response_headers": {"X-Rack": "r2"}})
    await running.agent.reload()
    answer = await asyncio.to_thread(request, running.http, "GET", "/v1/agent/self")
    assert answer.headers["x-rack"] == "r2"


class Fixed:
    """An interface that takes up nothing while it serves."""

    def __init__(self, interface: Interface) -> None:
        self.start, self.addresses, self.aclose = interface.start, interface.addresses, interface.aclose


async def test_an_interface_that_cannot_reload_waits_for_a_restart(
    running: FileAgent, caplog: pytest.LogCaptureFixture
) -> None:
    running.agent._interfaces[0] = Fixed(running.agent._interfaces[0])
    running.write(node_meta={"rack": "r2"})
    await running.agent.reload()
    assert "only when the agent is restarted" not in caplog.text, "nothing of it has changed"
    running.write(http_config={"response_headers": {"X-Rack": "r2"}})
    await running.agent.reload()
    assert 'only when the agent is restarted: interface "http"' in caplog.text


class Broken(Fixed):
    """An interface that fails to take up its settings."""

    def reload(self, _settings: InterfaceSettings, _config: object) -> list[str]:
        raise ZeroDivisionError


async def test_an_interface_that_fails_keeps_nothing_else_from_it(
    running: FileAgent, caplog: pytest.LogCaptureFixture
) -> None:
    running.agent._interfaces[0] = Broken(running.agent._interfaces[0])
    running.write(services=[{"name": "web"}])
    await running.agent.reload()
    assert "web" in running.agent.local.services()
    assert 'interface "http" failed to take up its settings' in caplog.text


async def test_an_agent_without_files_says_so() -> None:
    (lan,) = free_ports(1)
    config = load_config(overrides={"bind_addr": "127.0.0.1", "ports": {"http": -1, "dns": -1, "serf_lan": lan}})
    with pytest.raises(AgentError, match="not started from files"):
        await Agent(config, PluginManager()).reload()


def test_the_fields_that_are_followed_exist() -> None:
    assert {field.name for field in fields(AgentConfig)} >= RELOADABLE


def test_a_part_that_was_chosen_anew_is_named() -> None:
    config = load_config(overrides={"dev_mode": True})
    assert fixed_keys(config, config) == []
    assert fixed_keys(config, replace(config, plugins={})) == [
        block.path for _, block in sorted(config.plugins.items())
    ]
