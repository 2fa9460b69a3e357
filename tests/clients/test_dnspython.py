"""dnspython as a stub resolver, over UDP and TCP: every kind of question that applications and their libraries ask."""

from __future__ import annotations

import socket
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.reversename
import pytest

from harness.agents import AgentProcess
from harness.waiting import wait_for

MANY = 40
NEAR, FAR = "10.20.0.1", "10.20.0.2"


def register(agent: AgentProcess, node: str, address: str, **more: Any) -> None:
    body = {"Node": node, "Address": address, **more}
    assert agent.ask("PUT", "/v1/catalog/register", body).status == 200


@pytest.fixture(scope="module")
def filled(server: AgentProcess) -> AgentProcess:
    """Two nodes with a service, one of them with IPv6, and a service of many instances."""
    web = {"Service": "web", "Port": 80, "Tags": ["v1"], "Weights": {"Passing": 3, "Warning": 1}}
    register(server, "near", NEAR, NodeMeta={"rack": "r1", "rfc1035-owner": "team=a"}, Service=web)
    register(server, "far", FAR, Service={**web, "Tags": ["v2"], "Port": 81})
    register(server, "six", "2001:db8::6", Service={"Service": "db", "Port": 5432})
    for number in range(MANY):
        service = {"Service": "many", "ID": f"many-{number}", "Port": 9000 + number, "Address": f"10.21.0.{number}"}
        register(server, "near", NEAR, SkipNodeUpdate=True, Service=service)
    wait_for(lambda: len(server.get("/v1/catalog/service/many")) == MANY, "all instances")
    return server


@pytest.fixture(params=["udp", "tcp"])
def over(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def resolver_of(agent: AgentProcess, *, payload: int = 0) -> dns.resolver.Resolver:
    """What an application configures: this agent and nobody else. A `payload` makes it speak EDNS."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = [agent.dns[0]], agent.dns[1]
    resolver.lifetime = 5
    if payload:
        resolver.use_edns(0, 0, payload)
    return resolver


class Asked:
    """Questions to one agent over one transport."""

    def __init__(self, agent: AgentProcess, over: str) -> None:
        self._agent = agent
        self._resolver = resolver_of(agent)
        self._tcp = over == "tcp"

    def answer(self, name: str, kind: str) -> dns.resolver.Answer:
        return self._resolver.resolve(name, kind, tcp=self._tcp, search=False)

    def texts(self, name: str, kind: str) -> set[str]:
        return {record.to_text() for record in self.answer(name, kind)}

    def kinds(self, name: str) -> set[int]:
        """Types of the records that ANY brings, which resolvers do not ask for."""
        send = dns.query.tcp if self._tcp else dns.query.udp
        response = send(dns.message.make_query(name, "ANY"), self._agent.dns[0], port=self._agent.dns[1], timeout=5)
        return {rrset.rdtype for rrset in response.answer}


@pytest.fixture
def asked(filled: AgentProcess, over: str) -> Asked:
    return Asked(filled, over)


def test_addresses_of_services_and_nodes(asked: Asked) -> None:
    assert asked.texts("web.service.consul", "A") == {NEAR, FAR}
    assert asked.texts("web.service.dc1.consul", "A") == {NEAR, FAR}
    assert asked.texts("v2.web.service.consul", "A") == {FAR}
    assert asked.texts("near.node.consul", "A") == {NEAR}
    assert asked.texts("db.service.consul", "AAAA") == asked.texts("six.node.consul", "AAAA") == {"2001:db8::6"}
    assert asked.texts("0a140001.addr.consul", "A") == {NEAR}


def test_srv_leads_to_port_and_address(asked: Asked) -> None:
    for name in ("web.service.consul", "_web._tcp.service.consul"):
        answer = asked.answer(name, "SRV")
        found = {(record.target.to_text(), record.port, record.priority, record.weight) for record in answer}
        assert found == {("near.node.dc1.consul.", 80, 1, 3), ("far.node.dc1.consul.", 81, 1, 3)}
        glue = {rrset.name.to_text(): rrset[0].to_text() for rrset in answer.response.additional if rrset.rdtype == 1}
        assert glue == {"near.node.dc1.consul.": NEAR, "far.node.dc1.consul.": FAR}
    assert asked.texts("_web._v1.service.consul", "SRV") == {"1 3 80 near.node.dc1.consul."}
    (record,) = asked.answer("db.service.consul", "SRV")
    assert asked.texts(record.target.to_text(), "AAAA") == {"2001:db8::6"}


def test_what_is_known_of_a_node(asked: Asked) -> None:
    assert asked.texts("near.node.consul", "TXT") == {'"rack=r1"', '"team=a"'}
    assert asked.kinds("near.node.consul") == {dns.rdatatype.A, dns.rdatatype.TXT}
    assert asked.kinds("web.service.consul") == {dns.rdatatype.A}
    assert asked.texts(dns.reversename.from_address("2001:db8::6").to_text(), "PTR") == {"six.node.dc1.consul."}
    assert asked.texts(dns.reversename.from_address(NEAR).to_text(), "PTR") >= {"near.node.dc1.consul."}


def test_the_zone_says_who_answers_for_it(asked: Asked) -> None:
    (soa,) = asked.answer("consul", "SOA")
    assert (soa.mname.to_text(), soa.rname.to_text()) == ("ns.consul.", "hostmaster.consul.")
    assert asked.texts("consul", "NS") == {"solo.node.dc1.consul."}
    assert asked.texts("solo.node.dc1.consul", "A") == {"127.0.0.1"}


def test_what_is_not_there_and_what_has_no_such_record(asked: Asked) -> None:
    with pytest.raises(dns.resolver.NXDOMAIN) as unknown:
        asked.answer("nobody.service.consul", "A")
    (response,) = unknown.value.kwargs["responses"].values()
    assert [rrset.rdtype for rrset in response.authority] == [dns.rdatatype.SOA]
    with pytest.raises(dns.resolver.NoAnswer):
        asked.answer("near.node.consul", "AAAA")
    with pytest.raises((dns.resolver.NoNameservers, dns.resolver.NXDOMAIN)):
        asked.answer("example.com", "A")  # no recursor is configured


def test_a_truncated_answer_is_asked_for_again_over_tcp(filled: AgentProcess) -> None:
    query = dns.message.make_query("many.service.consul", "SRV", use_edns=False)
    cut = dns.query.udp(query, filled.dns[0], port=filled.dns[1], timeout=5)
    assert cut.flags & dns.flags.TC
    assert 0 < sum(len(rrset) for rrset in cut.answer) < MANY
    whole, used_tcp = dns.query.udp_with_fallback(query, filled.dns[0], port=filled.dns[1], timeout=5)
    assert used_tcp
    assert not whole.flags & dns.flags.TC
    assert {record.port for record in resolver_of(filled).resolve("many.service.consul", "SRV")} == {
        9000 + number for number in range(MANY)
    }


def test_an_answer_fills_the_size_that_the_resolver_takes(filled: AgentProcess) -> None:
    counts = []
    for payload in (512, 1232, 4096):
        wire = exchange(filled, dns.message.make_query("many.service.consul", "SRV", use_edns=0, payload=payload))
        message = dns.message.from_wire(wire)
        counts.append(sum(len(rrset) for rrset in message.answer))
        assert len(wire) <= payload
        assert bool(message.flags & dns.flags.TC) == (counts[-1] < MANY)
    assert counts == sorted(set(counts))
    assert counts[-1] == MANY
    assert message.payload == 4096
    for payload in (512, 1232, 4096):
        assert len(resolver_of(filled, payload=payload).resolve("many.service.consul", "SRV")) == MANY


def test_the_client_subnet_option_comes_back(filled: AgentProcess) -> None:
    asked = dns.edns.ECSOption("198.51.100.0", 24)
    query = dns.message.make_query("web.service.consul", "A", use_edns=0, payload=1232, options=[asked])
    response = dns.query.udp(query, filled.dns[0], port=filled.dns[1], timeout=5)
    (told,) = [option for option in response.options if isinstance(option, dns.edns.ECSOption)]
    assert (told.address, told.srclen) == (asked.address, asked.srclen)
    assert {record.to_text() for rrset in response.answer for record in rrset} == {NEAR, FAR}


@pytest.mark.parametrize("kind", ["A", "SRV", "ANY"])
def test_names_are_compressed_so_that_others_read_them(filled: AgentProcess, kind: str) -> None:
    """dnspython refuses pointers that do not lead back; no name is written out where a pointer would do."""
    wire = exchange(filled, dns.message.make_query("web.service.consul", kind, use_edns=0, payload=4096))
    message = dns.message.from_wire(wire)
    assert message.rcode() == dns.rcode.NOERROR
    assert wire.count(b"\x03web\x07service\x06consul\x00") == 1
    assert len(wire) <= len(message.to_wire())


def test_many_questions_on_one_tcp_connection(filled: AgentProcess) -> None:
    with socket.create_connection(filled.dns, timeout=5) as connection:
        connection.setblocking(False)
        for name in ("web.service.consul", "many.service.consul", "near.node.consul"):
            query = dns.message.make_query(name, "A")
            response = dns.query.tcp(query, filled.dns[0], port=filled.dns[1], timeout=5, sock=connection)
            assert response.answer, name


def exchange(agent: AgentProcess, query: dns.message.Message) -> bytes:
    """The octets of the answer over UDP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.settimeout(5)
        connection.connect(agent.dns)
        connection.send(query.to_wire())
        return connection.recv(65_535)
