"""What tests of the configuration share: a host that is always the same, and loading from a text."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consul_kernel.config.addresses import InterfaceAddress
from consul_kernel.config.build import Host
from consul_kernel.config.load import ConfigSource, load_config
from consul_kernel.config.model import AgentConfig
from consul_kernel.config.problems import ConfigErrors

Load = Callable[..., AgentConfig]
Refuse = Callable[..., list[str]]

ADDRESSES = (
    InterfaceAddress("eth0", ipaddress.ip_address("10.1.2.3")),
    InterfaceAddress("eth0", ipaddress.ip_address("fe80::1")),
    InterfaceAddress("eth1", ipaddress.ip_address("192.168.7.9")),
    InterfaceAddress("eth2", ipaddress.ip_address("8.8.4.4")),
    InterfaceAddress("eth2", ipaddress.ip_address("2001:4860::8")),
    InterfaceAddress("lo", ipaddress.ip_address("127.0.0.1")),
    InterfaceAddress("lo", ipaddress.ip_address("::1")),
)


@pytest.fixture
def host() -> Host:
    return Host(hostname=lambda: "box", addresses=lambda: ADDRESSES)


@pytest.fixture
def load(host: Host) -> Load:
    """Load HCL texts, each a file of its own, with overrides by keyword."""

    def load_texts(*texts: str, **overrides: Any) -> AgentConfig:
        sources = [ConfigSource(text=text, name=f"{index}.hcl") for index, text in enumerate(texts)]
        return load_config(sources, overrides, host=host)

    return load_texts


@pytest.fixture
def refuse(load: Load) -> Refuse:
    """Load HCL texts that must be refused; the errors' lines."""

    def refuse_texts(*texts: str, **overrides: Any) -> list[str]:
        with pytest.raises(ConfigErrors) as caught:
            load(*texts, **overrides)
        return [problem.format() for problem in caught.value.problems]

    return refuse_texts


@pytest.fixture
def server(tmp_path: Path) -> str:
    """The least that a server's file says."""
    return f'server = true\ndata_dir = "{tmp_path}"\n'
