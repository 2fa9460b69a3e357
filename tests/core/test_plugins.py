"""The plugin manager: what it finds, what it refuses, and what its errors say."""

from __future__ import annotations

import sys
import types
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from consul_kernel import plugins as plugins_module
from consul_kernel.contracts.check import CheckPlugin
from consul_kernel.contracts.errors import PluginLoadError
from consul_kernel.contracts.plugin import Plugin, PluginConfig, PluginKind
from consul_kernel.hookspecs import hookimpl
from consul_kernel.plugins import PluginManager, installed_plugins


class FakeDistribution:
    """Enough of a distribution for an entry point to name."""

    def __init__(self, name: str, version: str) -> None:
        self.metadata = {"Name": name, "Version": version}


class Shelf:
    """Entry points that a test puts on offer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._points: list[EntryPoint] = []
        monkeypatch.setattr(plugins_module, "entry_points", self._find)

    def _find(self) -> EntryPoints:
        return EntryPoints(self._points)

    def offer(
        self, kind: PluginKind, name: str, module: types.ModuleType | None, *, distribution: str = "acme-store"
    ) -> None:
        module_name = f"plugin_of_{distribution.replace('-', '_')}_{name}"
        if module is not None:
            self._monkeypatch.setitem(sys.modules, module_name, module)
        point = EntryPoint(name=name, value=module_name, group=kind.entry_point_group)
        vars(point)["dist"] = FakeDistribution(distribution, "1.2.3")
        self._points.append(point)


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    return Shelf(monkeypatch)


def store_module(descriptor: object) -> types.ModuleType:
    module = types.ModuleType("store_plugin")

    @hookimpl
    def consul_kernel_register_store() -> object:
        return descriptor

    vars(module)["consul_kernel_register_store"] = consul_kernel_register_store
    return module


def descriptor(name: str = "acme", **changes: object) -> Plugin[object, object]:
    arguments: dict[str, object] = {"name": name, "api": 1, "create": lambda context, config: object(), **changes}
    return Plugin(**arguments)  # type: ignore[arg-type]


def test_every_default_plugin_is_installed_once() -> None:
    found = [(plugin.kind.value, plugin.name) for plugin in installed_plugins()]
    for expected in [
        ("transport", "tcp"),
        ("cipher", "nacl"),
        ("cipher", "aes-gcm"),
        ("membership", "swim"),
        ("consensus", "raft"),
        ("store", "memory"),
        ("store", "disk"),
        ("interface", "http"),
        ("interface", "dns"),
        *(("check", name) for name in ("args", "docker_container_id", "grpc", "h2ping", "http", "tcp", "udp")),
    ]:
        assert found.count(expected) == 1


def test_loads_what_is_named_and_remembers_it(shelf: Shelf) -> None:
    shelf.offer(PluginKind.STORE, "acme", store_module(descriptor()))
    manager = PluginManager()
    loaded = manager.load(PluginKind.STORE, "acme")
    assert loaded.name == "acme"
    assert manager.load(PluginKind.STORE, "acme") is loaded


def test_a_broken_plugin_harms_nobody_until_it_is_named(shelf: Shelf) -> None:
    shelf.offer(PluginKind.STORE, "acme", store_module(descriptor()))
    shelf.offer(PluginKind.STORE, "broken", None, distribution="broken-store")
    manager = PluginManager()
    manager.load(PluginKind.STORE, "acme")
    with pytest.raises(PluginLoadError) as caught:
        manager.load(PluginKind.STORE, "broken")
    assert "broken-store 1.2.3" in str(caught.value)
    assert "ModuleNotFoundError" in str(caught.value)


def test_an_unknown_name_lists_what_there_is_and_guesses(shelf: Shelf) -> None:
    shelf.offer(PluginKind.STORE, "acme", store_module(descriptor()))
    with pytest.raises(PluginLoadError, match=r"no store plugin named 'acne'.*installed: acme.*did you mean 'acme'"):
        PluginManager().load(PluginKind.STORE, "acne")


def test_two_distributions_with_one_name_are_refused(shelf: Shelf) -> None:
    shelf.offer(PluginKind.STORE, "acme", store_module(descriptor()))
    shelf.offer(PluginKind.STORE, "acme", store_module(descriptor()), distribution="rival-store")
    with pytest.raises(PluginLoadError, match=r"acme-store 1\.2\.3, rival-store 1\.2\.3"):
        PluginManager().load(PluginKind.STORE, "acme")


class NotAConfig:
    """A config_type that is none."""


@pytest.mark.parametrize(
    ("registered", "fault"),
    [
        ({"name": "acme"}, "registered a dict"),
        (descriptor("other"), "registered itself as 'other'"),
        (descriptor(api=99), "written for version 99 of the contracts; this kernel supports 1 to 1"),
        (descriptor(config_type=NotAConfig), "no subclass of PluginConfig"),
        (descriptor(create=None), "create that cannot be called"),
    ],
)
def test_a_descriptor_that_does_not_fit_is_refused(shelf: Shelf, registered: object, fault: str) -> None:
    shelf.offer(PluginKind.STORE, "acme", store_module(registered))
    with pytest.raises(PluginLoadError, match=fault):
        PluginManager().load(PluginKind.STORE, "acme")


def test_a_misspelt_hook_is_refused(shelf: Shelf) -> None:
    module = store_module(descriptor())

    @hookimpl
    def consul_kernel_agent_startd(agent: object) -> None:
        """A hook that does not exist."""

    vars(module)["consul_kernel_agent_startd"] = consul_kernel_agent_startd
    shelf.offer(PluginKind.STORE, "acme", module)
    with pytest.raises(PluginLoadError, match="consul_kernel_agent_startd"):
        PluginManager().load(PluginKind.STORE, "acme")


def test_a_plugin_without_the_hook_of_its_kind_is_refused(shelf: Shelf) -> None:
    shelf.offer(PluginKind.CIPHER, "acme", store_module(descriptor()))
    with pytest.raises(PluginLoadError, match="does not implement consul_kernel_register_cipher"):
        PluginManager().load(PluginKind.CIPHER, "acme")


def test_a_listener_that_raises_is_logged_and_the_others_are_told(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[object] = []
    for name, fails in (("bad", True), ("good", False)):
        module = store_module(descriptor(name))

        @hookimpl
        def consul_kernel_agent_started(agent: object, _fails: bool = fails) -> None:
            if _fails:
                raise RuntimeError("listener's fault")
            told.append(agent)

        vars(module)["consul_kernel_agent_started"] = consul_kernel_agent_started
        shelf.offer(PluginKind.STORE, name, module, distribution=f"{name}-store")
    manager = PluginManager()
    for name in ("bad", "good"):
        manager.load(PluginKind.STORE, name)
    manager.notify("consul_kernel_agent_started", agent="the agent")
    assert told == ["the agent"]
    assert "bad-store" in caplog.text


def test_the_default_config_is_an_empty_block() -> None:
    assert descriptor().config_type is PluginConfig


class PingConfig(PluginConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of the check `ping`."""

    ping: str = ""


@pytest.mark.parametrize(
    ("registered", "fault"),
    [
        (descriptor("ping", config_type=PingConfig), "registered a Plugin where a CheckPlugin was expected"),
        (
            CheckPlugin(name="ping", api=1, create=lambda context, config: object()),  # type: ignore[arg-type,return-value]
            "config_type without the key 'ping', by which definitions choose it",
        ),
    ],
)
def test_a_check_is_described_by_more(shelf: Shelf, registered: object, fault: str) -> None:
    module = types.ModuleType("check_plugin")

    @hookimpl
    def consul_kernel_register_check() -> object:
        return registered

    vars(module)["consul_kernel_register_check"] = consul_kernel_register_check
    shelf.offer(PluginKind.CHECK, "ping", module)
    manager = PluginManager()
    assert manager.names(PluginKind.CHECK) == ["ping"]
    with pytest.raises(PluginLoadError, match=fault):
        manager.load(PluginKind.CHECK, "ping")
