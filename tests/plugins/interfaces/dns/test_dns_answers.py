"""What names answer, asked over the network by dnspython. The expected answers are those of Consul 1.10."""

from __future__ import annotations

from collections.abc import AsyncIterator

import dns.flags
import dns.rcode
import pytest

from consul_kernel.structs.check import HealthCheck
from consul_kernel.structs.node import Node
from consul_kernel.structs.service import NodeService, ServiceAddress, Weights
from consul_kernel.structs.settings import DnsSettings, SoaSettings
from consul_kernel_dns import DnsInterface
from plugins.interfaces.dns.fake_catalog import FakeCatalog, ask, lines, make_interface

SOA = "consul. 0 IN SOA ns.consul. hostmaster.consul. SERIAL 3600 600 86400 0"


@pytest.fixture
def catalog() -> FakeCatalog:
    catalog = FakeCatalog()
    catalog.register(Node(node="web1", address="10.0.0.1", meta={"k": "v", "rfc1035-x": "plain"}))
    catalog.register(Node(node="web2", address="10.0.0.2"))
    catalog.register(Node(node="six", address="2001:db8::6"))
    catalog.register(Node(node="Dotted.Name", address="10.0.0.3"))
    catalog.register(Node(node="named", address="host.example.com"))
    catalog.register(Node(node="alias", address="web2.node.consul"))
    catalog.register(Node(node="loop", address="loop.node.consul"))
    catalog.add_service("web1", NodeService(id="1", service="web", port=80, tags=["v1", "Primary"]))
    catalog.add_service("web2", NodeService(id="1", service="web", port=81, tags=["v2", "a.b"]))
    catalog.add_service("web2", NodeService(id="api", service="api", port=9, address="2001:db8::1:1"))
    catalog.add_service("web2", NodeService(id="ext", service="ext", port=443, address="web.example.com"))
    catalog.add_service("six", NodeService(id="mail", service="mail", port=25))
    catalog.add_service("web2", NodeService(id="twin1", service="twin", port=1))
    catalog.add_service("web2", NodeService(id="twin2", service="twin", port=2))
    return catalog


@pytest.fixture
async def interface(catalog: FakeCatalog) -> AsyncIterator[DnsInterface]:
    interface = make_interface(catalog)
    await interface.start()
    yield interface
    await interface.aclose()


def without_serial(section: list[str]) -> list[str]:
    """Records with the SOA's serial number, which is the time, named."""
    words = [line.split(" ") for line in section]
    return [" ".join([*w[:6], "SERIAL", *w[7:]]) if w[3] == "SOA" else " ".join(w) for w in words]


def srv(owner: str, port: int, target: str, *, weight: int = 1) -> str:
    return f"{owner} 0 IN SRV 1 {weight} {port} {target}"


WEB1_TEXTS = ['web1.node.consul. 0 IN TXT "k=v"', 'web1.node.consul. 0 IN TXT "plain"']

ANSWERED = [
    # name, type, answers, additional
    ("web1.node.consul", "A", ["web1.node.consul. 0 IN A 10.0.0.1"], WEB1_TEXTS),
    ("web1.node.consul", "ANY", ["web1.node.consul. 0 IN A 10.0.0.1", *WEB1_TEXTS], []),
    ("web1.node.consul", "TXT", WEB1_TEXTS, []),
    ("web1.node.consul", "AAAA", [], WEB1_TEXTS),
    ("web1.node.consul", "MX", [], []),
    ("web1.node.consul", "SRV", [], []),
    ("web2.node.dc1.consul", "A", ["web2.node.dc1.consul. 0 IN A 10.0.0.2"], []),
    ("WEB2.Node.CONSUL", "A", ["WEB2.Node.CONSUL. 0 IN A 10.0.0.2"], []),
    ("dotted.name.node.consul", "A", ["dotted.name.node.consul. 0 IN A 10.0.0.3"], []),
    ("six.node.consul", "AAAA", ["six.node.consul. 0 IN AAAA 2001:db8::6"], []),
    ("named.node.consul", "A", ["named.node.consul. 0 IN CNAME host.example.com."], []),
    ("named.node.consul", "AAAA", ["named.node.consul. 0 IN CNAME host.example.com."], []),
    ("named.node.consul", "CNAME", [], []),
    (
        "alias.node.consul",
        "A",
        ["alias.node.consul. 0 IN CNAME web2.node.consul.", "web2.node.consul. 0 IN A 10.0.0.2"],
        [],
    ),
    ("web.service.consul", "A", ["web.service.consul. 0 IN A 10.0.0.1", "web.service.consul. 0 IN A 10.0.0.2"], []),
    ("web.service.consul", "TXT", ["web.service.consul. 0 IN A 10.0.0.1", "web.service.consul. 0 IN A 10.0.0.2"], []),
    ("v1.web.service.consul", "A", ["v1.web.service.consul. 0 IN A 10.0.0.1"], []),
    ("PRIMARY.web.service.dc1.consul", "A", ["PRIMARY.web.service.dc1.consul. 0 IN A 10.0.0.1"], []),
    ("a.b.web.service.consul", "A", ["a.b.web.service.consul. 0 IN A 10.0.0.2"], []),
    ("_web._v2.service.consul", "A", ["_web._v2.service.consul. 0 IN A 10.0.0.2"], []),
    (
        "_web._v2.consul",
        "SRV",
        [srv("_web._v2.consul.", 81, "web2.node.dc1.consul.")],
        ["web2.node.dc1.consul. 0 IN A 10.0.0.2"],
    ),
    (
        "_web._tcp.service.dc1.consul",
        "SRV",
        [
            srv("_web._tcp.service.dc1.consul.", 80, "web1.node.dc1.consul."),
            srv("_web._tcp.service.dc1.consul.", 81, "web2.node.dc1.consul."),
        ],
        [
            "web1.node.dc1.consul. 0 IN A 10.0.0.1",
            'web1.node.dc1.consul. 0 IN TXT "k=v"',
            'web1.node.dc1.consul. 0 IN TXT "plain"',
            "web2.node.dc1.consul. 0 IN A 10.0.0.2",
        ],
    ),
    (
        "api.service.consul",
        "SRV",
        [srv("api.service.consul.", 9, "20010db8000000000000000000010001.addr.dc1.consul.")],
        ["20010db8000000000000000000010001.addr.dc1.consul. 0 IN AAAA 2001:db8::1:1"],
    ),
    ("api.service.consul", "AAAA", ["api.service.consul. 0 IN AAAA 2001:db8::1:1"], []),
    ("ext.service.consul", "CNAME", ["ext.service.consul. 0 IN CNAME web.example.com."], []),
    ("ext.service.consul", "SRV", [srv("ext.service.consul.", 443, "web.example.com.")], []),
    ("mail.service.consul", "AAAA", ["mail.service.consul. 0 IN AAAA 2001:db8::6"], []),
    ("twin.service.consul", "A", ["twin.service.consul. 0 IN A 10.0.0.2"], []),
    (
        "twin.service.consul",
        "SRV",
        [
            srv("twin.service.consul.", 1, "web2.node.dc1.consul."),
            srv("twin.service.consul.", 2, "web2.node.dc1.consul."),
        ],
        ["web2.node.dc1.consul. 0 IN A 10.0.0.2"],
    ),
    ("0a0b0c0d.addr.consul", "A", ["0a0b0c0d.addr.consul. 0 IN A 10.11.12.13"], []),
    ("0a0b0c0d.addr.dc1.consul", "AAAA", ["0a0b0c0d.addr.dc1.consul. 0 IN A 10.11.12.13"], []),
    (
        "20010db8000000000000000000000001.addr.consul",
        "ANY",
        ["20010db8000000000000000000000001.addr.consul. 0 IN AAAA 2001:db8::1"],
        [],
    ),
    ("0a0b.addr.consul", "A", [], []),
    ("consul", "NS", ["consul. 0 IN NS agent-one.node.dc1.consul."], ["agent-one.node.dc1.consul. 0 IN A 127.0.0.1"]),
    ("1.0.0.10.in-addr.arpa", "PTR", ["1.0.0.10.in-addr.arpa. 0 IN PTR web1.node.dc1.consul."], []),
    (
        "1.0.0.0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
        "PTR",
        ["1.0.0.0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. 0 IN PTR api.service.consul."],
        [],
    ),
]


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize(
    ("name", "record_type", "answers", "additional"), ANSWERED, ids=[f"{case[0][:40]}-{case[1]}" for case in ANSWERED]
)
async def test_a_name_answers(
    interface: DnsInterface, name: str, record_type: str, answers: list[str], additional: list[str], *, tcp: bool
) -> None:
    answer = await ask(interface, name, record_type, tcp=tcp)
    assert dns.flags.to_text(answer.flags) == "QR AA RD"
    assert answer.rcode() == dns.rcode.NOERROR
    assert (lines(answer.answer), lines(answer.authority), lines(answer.additional)) == (
        sorted(answers),
        [],
        sorted(additional),
    )


@pytest.mark.parametrize(
    ("name", "record_type"),
    [
        ("none.node.consul", "A"),
        ("none.node.consul", "ANY"),
        ("node.consul", "A"),
        ("web1.node.nowhere.consul", "A"),
        ("web1.node.dc1.extra.consul", "A"),
        ("none.service.consul", "SRV"),
        ("none.web.service.consul", "A"),
        ("service.consul", "A"),
        ("web.service.nowhere.consul", "A"),
        ("_web._udp.service.consul", "SRV"),
        ("_web.service.consul", "SRV"),
        ("web._tcp.service.consul", "SRV"),
        ("query.consul", "A"),
        ("web.connect.consul", "A"),
        ("web.ingress.consul", "A"),
        ("zzzzzzzz.addr.consul", "A"),
        ("a.0a0b0c0d.addr.consul", "A"),
        ("addr.consul", "A"),
        ("consul", "ANY"),
        ("consul", "A"),
        ("ns.consul", "A"),
        ("9.9.9.9.in-addr.arpa", "PTR"),
        ("9.in-addr.arpa", "PTR"),
    ],
)
async def test_a_name_that_does_not_exist_is_nxdomain_with_the_zones_soa(
    interface: DnsInterface, name: str, record_type: str
) -> None:
    answer = await ask(interface, name, record_type)
    assert answer.rcode() == dns.rcode.NXDOMAIN
    assert dns.flags.to_text(answer.flags) == "QR AA RD"
    assert answer.answer == []
    assert without_serial(lines(answer.authority)) == [SOA]


@pytest.mark.parametrize(("name", "record_type"), [("web.service.consul", "AAAA"), ("api.service.consul", "A")])
async def test_a_service_without_records_of_the_type_is_nodata(
    interface: DnsInterface, name: str, record_type: str
) -> None:
    answer = await ask(interface, name, record_type)
    assert answer.rcode() == dns.rcode.NOERROR
    assert answer.answer == []
    assert without_serial(lines(answer.authority)) == [SOA]


@pytest.mark.parametrize("name", ["consul", "web1.node.consul", "nope.consul"])
async def test_soa_is_the_zones_wherever_it_is_asked_for(interface: DnsInterface, name: str) -> None:
    answer = await ask(interface, name, "SOA")
    assert without_serial(lines(answer.answer)) == [SOA]
    assert lines(answer.authority) == ["consul. 0 IN NS agent-one.node.dc1.consul."]
    assert lines(answer.additional) == ["agent-one.node.dc1.consul. 0 IN A 127.0.0.1"]


@pytest.mark.parametrize("name", ["example.com", "consul.example.com", ".", "notconsul"])
async def test_names_outside_the_domain_are_refused_without_recursors(interface: DnsInterface, name: str) -> None:
    answer = await ask(interface, name, "A")
    assert answer.rcode() == dns.rcode.REFUSED
    assert dns.flags.to_text(answer.flags) == "QR RD"


async def test_zone_transfer_is_not_implemented(interface: DnsInterface) -> None:
    answer = await ask(interface, "consul", "AXFR", tcp=False)
    assert answer.rcode() == dns.rcode.NOTIMP


async def test_a_node_that_names_itself_is_followed_no_deeper_than_three_times(interface: DnsInterface) -> None:
    answer = await ask(interface, "loop.node.consul", "A")
    assert set(lines(answer.answer)) == {"loop.node.consul. 0 IN CNAME loop.node.consul."}


async def with_settings(
    catalog: FakeCatalog, settings: DnsSettings, name: str, record_type: str = "A"
) -> tuple[list[str], list[str], list[str]]:
    interface = make_interface(catalog, settings)
    await interface.start()
    try:
        answer = await ask(interface, name, record_type)
    finally:
        await interface.aclose()
    return lines(answer.answer), lines(answer.authority), lines(answer.additional)


async def test_an_alternate_domain_answers_too_but_points_into_the_first(catalog: FakeCatalog) -> None:
    settings = DnsSettings(domain="first.test.", alt_domain="second.test")
    answers, _, additional = await with_settings(catalog, settings, "v2.web.service.second.test", "SRV")
    assert answers == [srv("v2.web.service.second.test.", 81, "web2.node.dc1.first.test.")]
    assert additional == ["web2.node.dc1.first.test. 0 IN A 10.0.0.2"]


async def test_a_domain_inside_the_other_is_told_apart(catalog: FakeCatalog) -> None:
    settings = DnsSettings(domain="consul", alt_domain="dc.consul")
    answers, _, _ = await with_settings(catalog, settings, "web2.node.dc.consul")
    assert answers == ["web2.node.dc.consul. 0 IN A 10.0.0.2"]


async def test_times_to_live_come_from_the_settings(catalog: FakeCatalog) -> None:
    settings = DnsSettings(
        node_ttl_s=10,
        service_ttl_s={"*": 5, "web": 20, "tw*": 30, "t*": 1},
        soa=SoaSettings(refresh_s=100, retry_s=200, expire_s=300, min_ttl_s=60),
    )
    assert (await with_settings(catalog, settings, "web2.node.consul"))[0] == ["web2.node.consul. 10 IN A 10.0.0.2"]
    assert (await with_settings(catalog, settings, "v1.web.service.consul"))[0] == [
        "v1.web.service.consul. 20 IN A 10.0.0.1"
    ]
    assert (await with_settings(catalog, settings, "twin.service.consul"))[0] == [
        "twin.service.consul. 30 IN A 10.0.0.2"
    ]
    answers, _, additional = await with_settings(catalog, settings, "mail.service.consul", "SRV")
    assert [line.split(" ")[1] for line in (*answers, *additional)] == ["5", "5"]
    _, authority, _ = await with_settings(catalog, settings, "none.service.consul")
    assert without_serial(authority) == [
        SOA.replace("consul. 0", "consul. 60").replace("3600 600 86400 0", "100 200 300 60")
    ]


def checked(status: str, *, service: bool = True) -> HealthCheck:
    return HealthCheck(
        check_id=f"c-{status}", status=status, service_id="1" if service else "", service_name="web" if service else ""
    )


@pytest.mark.parametrize(
    ("status", "only_passing", "is_shown"),
    [
        ("passing", False, True),
        ("warning", False, True),
        ("critical", False, False),
        ("passing", True, True),
        ("warning", True, False),
        ("critical", True, False),
    ],
)
@pytest.mark.parametrize("of_service", [True, False], ids=["service-check", "node-check"])
async def test_only_well_instances_are_shown(
    catalog: FakeCatalog, status: str, *, only_passing: bool, is_shown: bool, of_service: bool
) -> None:
    catalog.add_service(
        "web1", NodeService(id="1", service="web", port=80, tags=["v1"]), checked(status, service=of_service)
    )
    answers, _, _ = await with_settings(catalog, DnsSettings(only_passing=only_passing), "v1.web.service.consul")
    assert bool(answers) is is_shown


@pytest.mark.parametrize(
    ("statuses", "weight"), [((), 10), (("passing",), 10), (("warning", "passing"), 3), (("odd",), 1)]
)
async def test_srv_weights_follow_health(catalog: FakeCatalog, statuses: tuple[str, ...], weight: int) -> None:
    service = NodeService(id="1", service="web", port=80, tags=["v1"], weights=Weights(passing=10, warning=3))
    catalog.add_service("web1", service, *(checked(status) for status in statuses))
    answers, _, _ = await with_settings(catalog, DnsSettings(), "v1.web.service.consul", "SRV")
    assert answers == [srv("v1.web.service.consul.", 80, "web1.node.dc1.consul.", weight=weight)]


async def test_tagged_addresses_serve_their_family(catalog: FakeCatalog) -> None:
    catalog.register(
        Node(node="dual", address="10.1.0.1", tagged_addresses={"lan_ipv4": "10.1.0.1", "lan_ipv6": "2001:db8::9"})
    )
    both = {"lan_ipv4": ServiceAddress(address="10.2.0.1", port=1), "lan_ipv6": ServiceAddress(address="2001:db8::8")}
    catalog.add_service("dual", NodeService(id="d", service="dual", address="10.2.0.1", tagged_addresses=both))
    for name, record_type, expected in [
        ("dual.node.consul", "A", "10.1.0.1"),
        ("dual.node.consul", "AAAA", "2001:db8::9"),
        ("dual.service.consul", "A", "10.2.0.1"),
        ("dual.service.consul", "AAAA", "2001:db8::8"),
    ]:
        answers, _, _ = await with_settings(catalog, DnsSettings(), name, record_type)
        assert answers == [f"{name}. 0 IN {record_type} {expected}"]


async def test_node_metadata_stays_out_when_the_settings_say_so(catalog: FakeCatalog) -> None:
    settings = DnsSettings(node_meta_txt=False)
    assert (await with_settings(catalog, settings, "web1.node.consul"))[2] == []
    assert (await with_settings(catalog, settings, "web1.node.consul", "TXT"))[0] == WEB1_TEXTS
