"""Addresses: binding, advertising, and go-sockaddr's templates on a host that is always the same."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consul_kernel.config.addresses import AddressError, InterfaceAddress, expand, host_addresses
from consul_kernel.config.build import Host
from consul_kernel.config.load import load_config
from consul_kernel.config.model import AgentConfig
from consul_kernel.contracts.transport import Address

Load = Callable[..., AgentConfig]
Refuse = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("template", "expanded"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("{{ GetPrivateIP }}", "10.1.2.3"),
        ("{{GetPrivateIPs}}", "10.1.2.3 192.168.7.9"),
        ("{{ GetPublicIP }}", "8.8.4.4"),
        ('{{ GetInterfaceIP "eth1" }}', "192.168.7.9"),
        ("{{ GetInterfaceIP `eth0` }}", "10.1.2.3"),
        ('{{ GetInterfaceIPs "eth2" }}', "8.8.4.4 2001:4860::8"),
        ('{{ GetInterfaceIP "none" }}', ""),
        ('127.0.0.1 {{ GetInterfaceIP "eth1" }}', "127.0.0.1 192.168.7.9"),
        ('{{ GetPrivateInterfaces | include "network" "192.168.0.0/16" | attr "address" }}', "192.168.7.9"),
        ('{{ GetAllInterfaces | include "name" "^eth2$" | include "type" "IPv6" | attr "address" }}', "2001:4860::8"),
        (
            '{{ GetAllInterfaces | exclude "flags" "loopback" | include "type" "ipv4" | join "address" " " }}',
            "10.1.2.3 192.168.7.9 8.8.4.4",
        ),
        ('{{ GetAllInterfaces | include "rfc" "1918" | sort "-address" | limit 1 | attr "address" }}', "192.168.7.9"),
        ('{{ GetAllInterfaces | include "address" "8.8.4" | attr "name" }}', "eth2"),
        ('{{ GetDefaultInterfaces | attr "address" }}', "10.1.2.3"),
    ],
)
def test_templates(template: str, expanded: str, host: Host) -> None:
    assert expand(template, host.addresses) == expanded


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("{{ GetPrivateIP", "{{ has no }}"),
        ("{{ }}", "an empty stage in {{ … }}"),
        ("{{ GetFoo }}", "GetFoo is not supported; known are "),
        ("{{ GetInterfaceIP }}", 'GetInterfaceIP takes an interface: GetInterfaceIP "eth0"'),
        ("{{ GetAllInterfaces }}", 'a pipeline ends with attr "address" or join "address" " "'),
        (
            '{{ GetAllInterfaces | include "size" "24" | attr "address" }}',
            '"size" "24" is not a filter that is supported',
        ),
        ('{{ GetAllInterfaces | include "name" "(" | attr "address" }}', "missing ), unterminated subpattern"),
        (
            '{{ GetAllInterfaces | include "network" "x" | attr "address" }}',
            "'x' does not appear to be an IPv4 or IPv6",
        ),
        ("{{ GetAllInterfaces | limit x }}", "limit takes a number: limit 1"),
        ('{{ GetAllInterfaces | sort "x" }}', "sort takes one of address, name, type, default"),
        ("{{ GetAllInterfaces | math }}", "math is not supported; known are attr, exclude, include, join, limit, sort"),
        ('{{ GetPrivateIP | attr "address" }}', "attr has nothing to work on: the stage before gives a text"),
    ],
)
def test_templates_that_cannot_be_evaluated(template: str, error: str, host: Host) -> None:
    with pytest.raises(AddressError) as caught:
        expand(template, host.addresses)
    assert str(caught.value).startswith(error)


@settings(derandomize=True)
@given(st.text(alphabet='{}|" GetPrivateIPInfacsinclude()[0', max_size=40))
def test_any_template_is_expanded_or_refused(text: str) -> None:
    found = [InterfaceAddress("eth0", ipaddress.ip_address("10.0.0.1"))]
    try:
        assert isinstance(expand("{{" + text + "}}", lambda: found), str)
    except AddressError as error:
        message = str(error)
        assert message


@pytest.mark.parametrize(
    ("text", "bind", "advertise", "wan"),
    [
        ("", "0.0.0.0", "10.1.2.3", "10.1.2.3"),
        ('bind_addr = "192.168.7.9"', "192.168.7.9", "192.168.7.9", "192.168.7.9"),
        ('bind_addr = "::"', "::", "2001:4860::8", "2001:4860::8"),
        ('bind_addr = "[::1]"', "::1", "::1", "::1"),
        ('advertise_addr = "10.9.9.9"', "0.0.0.0", "10.9.9.9", "10.9.9.9"),
        ('advertise_addr_wan = "{{ GetPublicIP }}"', "0.0.0.0", "10.1.2.3", "8.8.4.4"),
        ('bind_addr = "{{ GetInterfaceIP \\"eth1\\" }}"', "192.168.7.9", "192.168.7.9", "192.168.7.9"),
    ],
)
def test_what_is_bound_and_advertised(text: str, bind: str, advertise: str, wan: str, load: Load) -> None:
    config = load(text)
    assert (config.bind_addr, config.advertise_addr, config.advertise_addr_wan) == (bind, advertise, wan)
    assert (config.tagged_addresses["lan"], config.tagged_addresses["wan"]) == (advertise, wan)
    assert config.serf_lan_address == Address(bind, 8301)


def test_tagged_addresses_are_consuls(load: Load) -> None:
    config = load('tagged_addresses { rack = "1.2.3.4" }\nadvertise_addr_ipv6 = "fd00::5"')
    assert config.tagged_addresses == {
        "rack": "1.2.3.4",
        "lan": "10.1.2.3",
        "lan_ipv4": "10.1.2.3",
        "lan_ipv6": "fd00::5",
        "wan": "10.1.2.3",
        "wan_ipv4": "10.1.2.3",
    }


def test_interfaces_bind_where_client_addr_and_addresses_say(load: Load) -> None:
    config = load('client_addr = "127.0.0.1 10.1.2.3 127.0.0.1"\naddresses { dns = "0.0.0.0" }\nports { dns = 53 }')
    assert config.client_addr == ("127.0.0.1", "10.1.2.3")
    assert config.interface_bind("http") == (Address("127.0.0.1", 8500), Address("10.1.2.3", 8500))
    assert config.interface_bind("dns") == (Address("0.0.0.0", 53),)
    assert load("ports { http = -1, dns = 0 }").interface_bind("http") == ()
    assert load("ports { http = -1, dns = 0 }").interface_bind("dns") == ()


def test_the_wan_pool_is_for_servers(load: Load, server: str) -> None:
    assert load().serf_wan_address is None
    assert load(server).serf_wan_address == Address("0.0.0.0", 8302)
    assert load(server, "ports { serf_wan = -1 }").serf_wan_address is None


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('bind_addr = "localhost"', "0.hcl:1: bind_addr: invalid ip address: localhost"),
        (
            'bind_addr = "10.0.0.1 10.0.0.2"',
            "0.hcl:1: bind_addr: multiple addresses found: 10.0.0.1 10.0.0.2; one is expected",
        ),
        ('client_addr = "unix:///x"', "0.hcl:1: client_addr: cannot be a unix socket"),
        ('addresses { dns = "unix:///x" }', "0.hcl:1: addresses.dns: cannot be a unix socket"),
        ('addresses { http = "unix:///x 10.0.0.1" }', "0.hcl:1: addresses.http: cannot be a unix socket"),
        ('advertise_addr = "0.0.0.0"', "0.hcl:1: advertise_addr: Advertise address cannot be 0.0.0.0, :: or [::]"),
        (
            'advertise_addr_wan = "::"',
            "0.hcl:1: advertise_addr_wan: Advertise WAN address cannot be 0.0.0.0, :: or [::]",
        ),
        ('advertise_addr_ipv4 = "fd00::1"', "0.hcl:1: advertise_addr_ipv4: must be an ipv4 address"),
        (
            'serf_lan = "{{ GetInterfaceIP \\"x\\" }}"',
            '0.hcl:1: serf_lan: no address of this host matches {{ GetInterfaceIP "x" }}',
        ),
        ('bind_addr = "{{ X }}"', "0.hcl:1: bind_addr: error parsing '{{ X }}': X is not supported; known are"),
    ],
)
def test_refuses(text: str, error: str, refuse: Refuse) -> None:
    (line,) = refuse(text)
    assert line.startswith(error)


def test_hosts_to_join_may_be_templates(load: Load, refuse: Refuse) -> None:
    text = 'retry_join = ["consul.example:8301", "{{ GetPrivateIPs }}"]\nrecursors = ["{{ GetPublicIP }}"]'
    config = load(text)
    assert config.retry_join == ("consul.example:8301", "10.1.2.3", "192.168.7.9")
    assert config.dns.recursors == ("8.8.4.4",)
    assert refuse('start_join = ["{{ X }}"]')[0].startswith("0.hcl:1: start_join: error parsing '{{ X }}'")


def test_a_host_without_addresses_is_told_so() -> None:
    config = load_config([], {"data_dir": "/tmp"}, host=Host(hostname=lambda: "box", addresses=lambda: ()))
    assert config.advertise_addr == "127.0.0.1"
    assert [str(warning) for warning in config.warnings] == [
        "advertise_addr: no private IPv4 address found to advertise: other hosts cannot reach this agent; set it"
    ]


def test_without_a_private_address_another_is_advertised() -> None:
    found = [InterfaceAddress("eth0", ipaddress.ip_address("8.8.8.8"))]
    assert load_config([], host=Host(hostname=lambda: "box", addresses=lambda: found)).advertise_addr == "8.8.8.8"


def test_this_host_has_a_loopback_address() -> None:
    found = host_addresses()
    assert any(item.ip == ipaddress.ip_address("127.0.0.1") for item in found)
