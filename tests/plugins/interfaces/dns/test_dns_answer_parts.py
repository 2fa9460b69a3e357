"""What DNS makes of `dns_answer` parts: order, omission, additions, who asks, and what is kept."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dns.edns
import dns.message
import dns.rcode
import pytest

from consul_kernel.contracts.dns_answer import Candidate, Lookup, Tier
from consul_kernel.contracts.interface import InterfaceSettings
from consul_kernel.structs.health import CheckServiceNode
from consul_kernel.structs.methods import PREPARED_QUERY_EXECUTE
from consul_kernel.structs.node import Node
from consul_kernel.structs.prepared_query import PreparedQueryExecuteResponse
from consul_kernel.structs.service import NodeService
from consul_kernel.structs.settings import DnsSettings, HttpSettings, LimitSettings
from consul_kernel.testing.dns_answer_kit import CHECKS, DnsAnswerCase
from consul_kernel_dns import DnsInterface, DnsInterfaceConfig
from plugins.interfaces.dns.answer_parts import Answers, by_node
from plugins.interfaces.dns.fake_catalog import FakeCatalog, ask, make_interface

CONTRACT = Path(__file__).parents[4] / "docs/contracts/dns_answer.md"
ADDRESSES = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4")
TIMES = 30


@pytest.fixture
def catalog() -> FakeCatalog:
    catalog = FakeCatalog()
    catalog.serve("web", *ADDRESSES, tags=["blue"])
    return catalog


async def serve(catalog: FakeCatalog, answers: Answers, settings: DnsSettings | None = None) -> DnsInterface:
    interface = make_interface(catalog, settings or DnsSettings(udp_answer_limit=8), answers=answers)
    await interface.start()
    return interface


def shown(message: dns.message.Message) -> list[str]:
    """What stands at the end of each address, in order."""
    return [str(record).rpartition(".")[2] for rrset in message.answer for record in rrset]


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("every_lookup", [False, True])
async def test_tiers_stand_in_their_order(catalog: FakeCatalog, *, tcp: bool, every_lookup: bool) -> None:
    interface = await serve(catalog, by_node("web-03", "web-01", every_lookup=every_lookup))
    rest = Counter[str]()
    for _ in range(TIMES):
        order = shown(await ask(interface, "web.service.consul", tcp=tcp))
        assert order[:2] == ["4", "2"]
        rest[",".join(order[2:])] += 1
    assert set(rest) == {"1,3", "3,1"}, "chance decides within a tier"
    await interface.aclose()


async def test_limits_cut_off_the_last_tiers(catalog: FakeCatalog) -> None:
    for settings in (DnsSettings(a_record_limit=2), DnsSettings(udp_answer_limit=2)):
        interface = await serve(catalog, by_node("web-02", "web-00"), settings)
        for _ in range(5):
            assert shown(await ask(interface, "web.service.consul")) == ["3", "1"]
        await interface.aclose()


async def test_srv_records_are_ordered_too(catalog: FakeCatalog) -> None:
    interface = await serve(catalog, by_node("web-02"))
    for _ in range(5):
        answer = await ask(interface, "_web._blue.service.consul", "SRV", edns=4096)
        assert answer.answer[0][0].target.to_text() == "web-02.node.dc1.consul."
        assert len(answer.answer[0]) == len(answer.additional[0:4]) == 4
    await interface.aclose()


async def test_nobody_left_is_no_such_name(catalog: FakeCatalog) -> None:
    interface = await serve(catalog, Answers(lambda _lookup, _given: []))
    for _ in range(3):
        answer = await ask(interface, "web.service.consul")
        assert (answer.rcode(), answer.answer) == (dns.rcode.NXDOMAIN, [])
        assert [rrset.name.to_text() for rrset in answer.authority] == ["consul."]
    await interface.aclose()


def static(lookup: Lookup, given: Sequence[Candidate]) -> Sequence[Tier]:
    """Answers for `db`, which nobody has registered."""
    if lookup.service != "db":
        return [given]
    return [
        [
            Candidate(
                CheckServiceNode(
                    node=Node(node="static", address="192.0.2.1", datacenter="dc1"),
                    service=NodeService(service="db", port=5432),
                    checks=[],
                )
            )
        ]
    ]


async def test_a_part_may_know_what_the_catalog_does_not(catalog: FakeCatalog) -> None:
    interface = await serve(catalog, Answers(static), DnsSettings(service_ttl_s={"db": 7}))
    for _ in range(3):
        answer = await ask(interface, "DB.service.consul")
        assert answer.answer[0].to_text() == "DB.service.consul. 7 IN A 192.0.2.1"
        srv = await ask(interface, "db.service.consul", "SRV")
        assert [(one.port, one.target.to_text()) for one in srv.answer[0]] == [(5432, "static.node.dc1.consul.")]
        assert (await ask(interface, "other.service.consul")).rcode() == dns.rcode.NXDOMAIN
    await interface.aclose()


async def test_what_a_part_is_told(catalog: FakeCatalog) -> None:
    answers = by_node()
    interface = await serve(catalog, answers)
    questions = [
        ("blue.WEB.service.dc1.consul", "AAAA"),
        ("_web._tcp.service.consul", "SRV"),
        ("web.service.consul", "TYPE65"),
    ]
    for name, record_type in questions:
        await ask(interface, name, record_type)
    assert answers.lookups == [
        Lookup(name="blue.web.service.dc1.consul", record_type="AAAA", datacenter="dc1", service="web", tag="blue"),
        Lookup(name="_web._tcp.service.consul", record_type="SRV", datacenter="dc1", service="web"),
        Lookup(name="web.service.consul", record_type="TYPE65", datacenter="dc1", service="web"),
    ]
    for name, record_type in (("web-00.node.consul", "A"), ("consul", "NS"), ("1.0.0.10.in-addr.arpa", "PTR")):
        await ask(interface, name, record_type)
    assert len(answers.lookups) == 3, "nodes, the zone itself and addresses are not its business"
    await interface.aclose()


async def test_a_part_that_wants_every_lookup_is_told_who_asks(catalog: FakeCatalog) -> None:
    answers = by_node(every_lookup=True)
    interface = await serve(catalog, answers)
    subnet = dns.edns.ECSOption("10.1.2.3", 24)
    for tcp in (False, True):
        await ask(interface, "web.service.consul", tcp=tcp)
        await ask(interface, "web.service.consul", tcp=tcp, edns=1232, options=(subnet,))
        await ask(interface, "web.service.consul", tcp=tcp)
    assert [lookup.asker for lookup in answers.lookups] == ["127.0.0.1", "10.1.2.0", "127.0.0.1"] * 2
    await interface.aclose()


async def test_an_answer_that_is_not_to_be_kept_is_made_anew(catalog: FakeCatalog) -> None:
    answers = by_node("web-01")
    interface = await serve(catalog, answers)
    answers.is_kept = False
    for _ in range(3):
        await ask(interface, "web.service.consul")
    assert len(answers.lookups) == 3
    answers.is_kept = True
    for _ in range(3):
        assert shown(await ask(interface, "web.service.consul"))[0] == "2"
    assert len(answers.lookups) == 4
    catalog.remove_service("web-01", "1")
    answers.is_kept = False
    assert "2" not in shown(await ask(interface, "web.service.consul"))
    await interface.aclose()


async def test_names_are_followed_whatever_is_kept(catalog: FakeCatalog) -> None:
    """What an older answer was made of has no part in one that is not kept."""
    catalog.register(Node(node="target", address="10.9.9.9"))
    catalog.add_service("web-00", NodeService(id="a", service="alias", address="target.node.consul"))
    answers = by_node()
    interface = await serve(catalog, answers)
    expected = ["CNAME target.node.consul.", "A 10.9.9.9"]
    for every_lookup in (False, True):
        answers.every_lookup = every_lookup
        for _ in range(3):
            answer = await ask(interface, "alias.service.consul")
            assert [rrset.to_text().partition(" IN ")[2] for rrset in answer.answer] == expected
    answers.every_lookup = True
    catalog.register(Node(node="second", address="10.9.9.8"))
    catalog.add_service("web-00", NodeService(id="a", service="alias", address="second.node.consul"))
    answer = await ask(interface, "alias.service.consul")
    assert answer.answer[1][0].to_text() == "10.9.9.8"
    await interface.aclose()


@pytest.mark.parametrize("every_lookup", [False, True])
async def test_a_prepared_query_keeps_its_order_within_a_tier(catalog: FakeCatalog, *, every_lookup: bool) -> None:
    nodes = [
        CheckServiceNode(
            node=Node(node=f"n{number}", address=f"10.0.0.{number}", datacenter="dc2"),
            service=NodeService(id="web", service="web", port=80),
            checks=[],
        )
        for number in (3, 1, 2, 5)
    ]
    catalog.agent.answer(
        PREPARED_QUERY_EXECUTE, PreparedQueryExecuteResponse(service="web", nodes=nodes, datacenter="dc2")
    )
    answers = by_node("n2", every_lookup=every_lookup)
    interface = await serve(catalog, answers)
    for _ in range(5):
        assert shown(await ask(interface, "geo.query.dc2.consul")) == ["2", "3", "1", "5"]
    told = Lookup(
        name="geo.query.dc2.consul",
        record_type="A",
        datacenter="dc2",
        query="geo",
        asker="127.0.0.1" if every_lookup else "",
    )
    assert answers.lookups[0] == told
    await interface.aclose()


async def test_a_reload_takes_up_other_parts(catalog: FakeCatalog) -> None:
    interface = await serve(catalog, by_node("web-00"))
    assert shown(await ask(interface, "web.service.consul"))[0] == "1"
    settings = InterfaceSettings(
        dns=DnsSettings(udp_answer_limit=8),
        http=HttpSettings(),
        limits=LimitSettings(),
        dns_answers=by_node("web-03"),
    )
    assert list(interface.reload(settings, DnsInterfaceConfig())) == []
    for _ in range(3):
        assert shown(await ask(interface, "web.service.consul"))[0] == "4"
    await interface.aclose()


def test_the_part_of_the_documentation_works() -> None:
    text = CONTRACT.read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    case = DnsAnswerCase(
        plugin=names["consul_kernel_register_dns_answer"](),
        node_meta={"zone": "a"},
        instance_meta=({"zone": "b"}, {"zone": "a"}, {}),
    )
    for check in CHECKS:
        check(case)
    lookup = Lookup(name="web.service.consul", record_type="A", datacenter="dc1", service="web")
    near, far = case.make().arrange(lookup, case.candidates(6))
    assert [one.instance.node.node for one in near] == ["n1", "n4"]
    assert len(far) == 4
