"""A third party's `dns_answer` parts, installed with pip, in the answers of a whole agent."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import dns.edns
import dns.message
import dns.query
import dns.rcode
import pytest

from harness.agents import AgentProcess, Cluster
from harness.waiting import wait_for

KIT = Path(__file__).parent / "run_zone_kit.py"
ZONES = {"n1": "a", "n2": "b", "n3": "a", "n4": "b"}
TIMES = 40


@pytest.fixture
def start(cluster: Cluster, third_party_python: Path) -> Any:
    """Starts a server that has the plugins, and instances of `web` in two zones."""

    def start_agent(**config: Any) -> AgentProcess:
        agent = cluster.agent("a1", python=str(third_party_python), server=True, bootstrap=True, **config).start()
        agent.wait_leader()
        for number, (node, zone) in enumerate(ZONES.items(), 1):
            body = {
                "Node": node,
                "Address": f"10.0.0.{number}",
                "NodeMeta": {"zone": zone},
                "Service": {"Service": "web", "Port": 80, "Weights": {"Passing": 9 if number < 3 else 1, "Warning": 1}},
            }
            assert agent.ask("PUT", "/v1/catalog/register", body).status == 200
        return agent

    return start_agent


def ask(agent: AgentProcess, name: str, subnet: str = "") -> dns.message.Message:
    options: list[dns.edns.Option] = [dns.edns.ECSOption(subnet, 32)] if subnet else []
    query = dns.message.make_query(f"{name}.service.consul", "A", use_edns=0, payload=1232, options=options)
    return dns.query.udp(query, agent.dns[0], port=agent.dns[1], timeout=5)


def order(agent: AgentProcess, name: str = "web", subnet: str = "") -> list[int]:
    """The last numbers of the addresses, as they stand."""
    answer = ask(agent, name, subnet)
    return [int(str(record).rpartition(".")[2]) for rrset in answer.answer for record in rrset]


def test_zones_first_and_weights_within_them(start: Any) -> None:
    agent = start(node_meta={"zone": "a"}, dns_answer={"same_zone": {"meta_key": "zone"}, "weighted": {}})
    firsts, thirds = Counter[int](), Counter[int]()
    for _ in range(10 * TIMES):
        found = order(agent)
        assert {*found[:2]} == {1, 3}
        assert {*found[2:]} == {2, 4}
        firsts[found[0]] += 1
        thirds[found[2]] += 1
    assert firsts[1] > 2 * firsts[3], "9 to 1"
    assert thirds[2] > 2 * thirds[4], "9 to 1"

    body = {"Node": "n1", "Service": {"Service": "web"}, "Check": {"Name": "c", "Status": "critical"}}
    body |= {"Address": "10.0.0.1", "NodeMeta": {"zone": "a"}}
    assert agent.ask("PUT", "/v1/catalog/register", body).status == 200
    wait_for(lambda: order(agent)[:1] == [3] and len(order(agent)) == 3, "a sick instance to be gone")


def test_who_asks_decides_and_what_the_block_says_is_there(start: Any) -> None:
    block = {"subnets": {"10.1.0.0/16": "b"}, "records": {"db": "192.0.2.7"}}
    agent = start(dns_answer={"asker_zone": block})
    for _ in range(TIMES):
        assert {*order(agent, subnet="10.1.2.3")[:2]} == {2, 4}
    assert {order(agent, subnet="10.2.0.1")[0] for _ in range(TIMES)} == {1, 2, 3, 4}
    assert order(agent, "db") == [7]
    assert ask(agent, "nobody").rcode() == dns.rcode.NXDOMAIN


def test_a_reload_takes_up_other_blocks(start: Any) -> None:
    agent = start(node_meta={"zone": "a"}, dns_answer={"same_zone": {"only": True}})
    assert sorted(order(agent)) == [1, 3]
    agent.config["dns_answer"] = {"same_zone": {"only": True, "meta_key": "rack"}}
    agent.file.write_text(json.dumps(agent.config))
    assert agent.ask("PUT", "/v1/agent/reload").status == 200
    assert sorted(order(agent)) == [1, 2, 3, 4]


def test_a_wrong_block_is_told(third_party_python: Path, tmp_path: Path) -> None:
    file = tmp_path / "agent.hcl"
    file.write_text(
        'dns_answer "same_zone" {\n  meta_kye = "zone"\n}\n'
        'dns_answer "asker_zone" {\n  subnets = { "10.0.0.1/8" = "a" }\n}\n'
        'dns_answer "sames_zone" {}\n'
    )
    ran = subprocess.run(
        [third_party_python, "-m", "consul_kernel.cli.main", "validate", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1
    said = [line.removeprefix(f"Config validation failed: {file}") for line in ran.stderr.splitlines()]
    assert ':2: dns_answer "same_zone".meta_kye: unknown key; did you mean "meta_key"?' in said
    assert any("10.0.0.1/8 has host bits set" in line for line in said), said
    assert any("did you mean 'same_zone'" in line for line in said), said


def test_they_keep_the_contract(third_party_python: Path) -> None:
    """The kit, against the installed package."""
    done = subprocess.run([third_party_python, KIT], capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 checks passed" in done.stdout
