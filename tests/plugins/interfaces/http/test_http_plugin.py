"""The descriptor, the block `interface "http" { … }`, and where the interface listens."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

import msgspec
import pluggy
import pytest

import consul_kernel_http
from consul_kernel import hookspecs
from consul_kernel.contracts.errors import PluginStartError
from consul_kernel.contracts.interface import Interface, InterfaceContext
from consul_kernel.contracts.transport import Address
from consul_kernel.structs.settings import DnsSettings, HttpSettings, LimitSettings
from consul_kernel.testing.fake_agent import FakeAgent
from consul_kernel_http import HttpConfig, HttpInterface


def make(bind: Sequence[Address], config: HttpConfig, http: HttpSettings | None = None) -> HttpInterface:
    context = InterfaceContext(
        agent=FakeAgent(), bind=bind, dns=DnsSettings(), http=http or HttpSettings(), limits=LimitSettings()
    )
    return HttpInterface(context, config)


async def root_of(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
    body = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return body


def test_plugin_is_found_by_its_entry_point_and_hooks() -> None:
    [entry_point] = entry_points(group="consul_kernel.interfaces", name="http")
    manager = pluggy.PluginManager(hookspecs.PROJECT_NAME)
    manager.add_hookspecs(hookspecs)
    manager.register(entry_point.load())
    manager.check_pending()
    [plugin] = manager.hook.consul_kernel_register_interface()
    assert plugin == consul_kernel_http.consul_kernel_register_interface()
    assert (plugin.name, plugin.config_type) == ("http", HttpConfig)
    assert isinstance(plugin.create(_context(), plugin.config_type()), Interface)


def _context() -> InterfaceContext:
    return InterfaceContext(agent=FakeAgent(), bind=(), dns=DnsSettings(), http=HttpSettings(), limits=LimitSettings())


def test_empty_block_is_valid_and_unknown_keys_are_not() -> None:
    assert msgspec.convert({}, HttpConfig) == HttpConfig()
    with pytest.raises(msgspec.ValidationError, match="prot"):
        msgspec.convert({"prot": 1}, HttpConfig)


async def test_block_s_port_replaces_the_agent_file_s(unused_port: int) -> None:
    interface = make([Address("127.0.0.1", 1), Address("::1", 1)], HttpConfig(port=unused_port))
    await interface.start()
    assert interface.addresses() == [f"127.0.0.1:{unused_port} (tcp)", f"[::1]:{unused_port} (tcp)"]
    await interface.aclose()


async def test_block_alone_is_enough(unused_port: int) -> None:
    interface = make([], HttpConfig(port=unused_port))
    await interface.start()
    assert interface.addresses() == [f"127.0.0.1:{unused_port} (tcp)"]
    await interface.aclose()


async def test_block_s_address_keeps_the_agent_file_s_port(unused_port: int) -> None:
    interface = make([Address("10.255.255.1", unused_port)], HttpConfig(address="127.0.0.1"))
    await interface.start()
    assert interface.addresses() == [f"127.0.0.1:{unused_port} (tcp)"]
    await interface.aclose()


async def test_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    interface = make([Address("127.0.0.1", 1)], HttpConfig(address=f"unix://{path}"))
    await interface.start()
    assert interface.addresses() == [f"{path} (unix)"]
    assert b"Consul Agent" in await root_of(*await asyncio.open_unix_connection(str(path)))
    await interface.aclose()
    assert not path.exists()


async def test_address_that_cannot_be_bound_is_named(tmp_path: Path) -> None:
    with pytest.raises(PluginStartError, match=r"203\.0\.113\.1:8500"):
        await make([Address("203.0.113.1", 8500)], HttpConfig()).start()
    with pytest.raises(PluginStartError, match=r"unix://.*none/x"):
        await make([], HttpConfig(address=f"unix://{tmp_path}/none/x")).start()


def test_networks_must_be_networks() -> None:
    with pytest.raises(PluginStartError, match="allow_write_http_from"):
        make([], HttpConfig(), HttpSettings(allow_write_http_from=("10.0.0.0/99",)))


@pytest.fixture
async def unused_port() -> int:
    """A port that nobody listens on, for both families."""
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port
