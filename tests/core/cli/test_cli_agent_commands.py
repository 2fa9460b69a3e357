"""Commands that ask a running agent about pools, catalog and services."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.cli.conftest import Run
from core.cli.fake_http_agent import FakeHttpAgent, serving


def member(name: str, status: int, **tags: str) -> dict[str, Any]:
    return {"Name": name, "Addr": "10.0.0.1", "Port": 8301, "Status": status, "Tags": tags}


MEMBERS = [
    member("web", 4, role="node", build="1.10.11:abc", vsn="2", dc="dc1", segment=""),
    member("api", 1, role="consul", build="1.10.11", vsn="2", dc="dc1", segment=""),
    {"Name": "six", "Addr": "2001:db8::1", "Port": 8301, "Status": 3, "Tags": None},
]


def test_members_in_consuls_columns(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("GET /v1/agent/members", MEMBERS)
    assert run("members").out == (
        "Node  Address             Status  Type     Build    Protocol  DC   Segment\n"
        "api   10.0.0.1:8301       alive   server   1.10.11  2         dc1  <all>\n"
        "six   [2001:db8::1]:8301  left    unknown  < 0.3                   <default>\n"
        "web   10.0.0.1:8301       failed  client   1.10.11  2         dc1  <default>\n"
    )


def test_members_detailed_shows_sorted_tags(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("GET /v1/agent/members", [member("a", 1, vsn="2", dc="dc1")])
    assert run("members", "-detailed").out == (
        "Node  Address        Status  Tags\na     10.0.0.1:8301  alive   dc=dc1,vsn=2\n"
    )


def test_members_by_status_and_pool(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("GET /v1/agent/members", MEMBERS)
    http_agent.answer("GET /v1/agent/members?wan=1", [member("web.dc1", 1, role="consul")])
    assert [line.split()[0] for line in run("members", "-status=^(alive|failed)$").out.splitlines()[1:]] == [
        "api",
        "web",
    ]
    assert [line.split()[0] for line in run("members", "-wan").out.splitlines()[1:]] == ["web.dc1"]
    ran = run("members", "-status=leaving")
    assert (ran.code, ran.out, ran.err) == (2, "", "")
    ran = run("members", "-status=(")
    assert ran.code == 1
    assert ran.err.startswith("Failed to compile status regexp: ")


def test_join(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("PUT /v1/agent/join/10.0.0.1", b"")
    http_agent.answer("PUT /v1/agent/join/10.0.0.2?wan=1", b"")
    ran = run("join", "10.0.0.1")
    assert (ran.code, ran.out) == (0, "Successfully joined cluster by contacting 1 nodes.\n")
    assert run("join", "-wan", "10.0.0.2").code == 0
    ran = run("join", "10.0.0.1", "10.0.0.9")
    assert (ran.code, ran.out) == (0, "Successfully joined cluster by contacting 1 nodes.\n")
    assert ran.err.startswith("Error joining address '10.0.0.9': Unexpected response code: 500")
    ran = run("join", "10.0.0.9")
    assert ran.code == 1
    assert ran.err.endswith("Failed to join any nodes.\n")
    assert run("join").err == "At least one address to join must be specified.\n"


def test_leave_and_force_leave(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("PUT /v1/agent/leave", b"")
    http_agent.answer("PUT /v1/agent/force-leave/n1", b"")
    http_agent.answer("PUT /v1/agent/force-leave/n1?prune=1", b"")
    assert run("leave").out == "Graceful leave complete\n"
    assert (run("force-leave", "n1").code, run("force-leave", "-prune", "n1").code) == (0, 0)
    assert http_agent.targets()[1:] == ["PUT /v1/agent/force-leave/n1", "PUT /v1/agent/force-leave/n1?prune=1"]
    assert run("force-leave").err == "A single node name must be specified to force leave.\n"
    assert run("force-leave", "n2").err.startswith("Error force leaving: Unexpected response code: 500")


def test_info_prints_sorted_groups(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer(
        "GET /v1/agent/self", {"Stats": {"raft": {"term": "2", "state": "Leader"}, "agent": {"checks": "0"}}}
    )
    assert run("info").out == "agent:\n\tchecks = 0\nraft:\n\tstate = Leader\n\tterm = 2\n"
    http_agent.answer("GET /v1/agent/self", {})
    assert run("info").err == "Agent response did not contain 'Stats' key\n"


NODES = [
    {
        "ID": "40e4a748-2192-161a-0510-9bf59fe950b5",
        "Node": "worker",
        "Address": "10.0.0.2",
        "Datacenter": "dc1",
        "TaggedAddresses": {"wan": "1.1.1.1", "lan": "10.0.0.2"},
        "Meta": {"env": "prod"},
    },
    {"ID": "", "Node": "a", "Address": "10.0.0.1", "Datacenter": "dc1", "TaggedAddresses": None, "Meta": None},
]


def test_catalog_nodes(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("GET /v1/catalog/nodes", NODES)
    assert run("catalog", "nodes").out == (
        "Node    ID        Address   DC\na                 10.0.0.1  dc1\nworker  40e4a748  10.0.0.2  dc1\n"
    )
    assert run("catalog", "nodes", "-detailed").out.splitlines()[2] == (
        "worker  40e4a748-2192-161a-0510-9bf59fe950b5  10.0.0.2  dc1  lan=10.0.0.2, wan=1.1.1.1  env=prod"
    )


def test_catalog_nodes_of_a_service_are_shown_once(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("GET /v1/catalog/service/web", [NODES[0], NODES[0]])
    assert len(run("catalog", "nodes", "-service=web").out.splitlines()) == 2


def test_catalog_nodes_filters(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer(
        "GET /v1/catalog/nodes?near=_agent&filter=Meta%5B%22env%22%5D+%3D%3D+%22prod%22+and+%28Node+%3D%3D+a%29", []
    )
    ran = run("catalog", "nodes", "-near=_agent", "-node-meta", "env=prod", "-filter", "Node == a")
    assert (ran.code, ran.out) == (0, "No nodes match the given query - try expanding your search.\n")


def test_catalog_datacenters(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("GET /v1/catalog/datacenters", ["dc1", "dc2"])
    assert run("catalog", "datacenters").out == "dc1\ndc2\n"


def test_catalog_services(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("GET /v1/catalog/services", {"web": ["b", "a"], "consul": []})
    http_agent.answer(
        "GET /v1/catalog/node/n1",
        {"Services": {"1": {"Service": "web", "Tags": ["x"]}, "2": {"Service": "web", "Tags": ["y"]}}},
    )
    http_agent.answer("GET /v1/catalog/node/n2", b"null")
    assert run("catalog", "services").out == "consul\nweb\n"
    assert run("catalog", "services", "-tags").out == "consul\nweb     a,b\n"
    assert run("catalog", "services", "-node=n1", "-tags").out == "web  x,y\n"
    ran = run("catalog", "services", "-node=n2")
    assert (ran.code, ran.out) == (0, "No services match the given query - try expanding your search.\n")


def test_event(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("PUT /v1/event/fire/deploy?service=web&tag=v1", {"ID": "abc"})
    ran = run("event", "-name=deploy", "-service=web", "-tag=v1", "payload")
    assert (ran.code, ran.out) == (0, "Event ID: abc\n")
    assert http_agent.asked[0].body == b"payload"
    assert run("event").err == "Event name must be specified\n"
    assert run("event", "-name=x", "-tag=y").err == "Cannot provide tag filter without service filter.\n"


def test_services_from_flags(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("PUT /v1/agent/service/register", b"")
    ran = run("services", "register", "-name=web", "-port=80", "-tag=a", "-tag=b", "-meta=k=v")
    assert (ran.code, ran.out) == (0, "Registered service: web\n")
    assert json.loads(http_agent.asked[0].body) == {
        "ID": "",
        "Name": "web",
        "Address": "",
        "Port": 80,
        "Tags": ["a", "b"],
        "Meta": {"k": "v"},
    }


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("s.json", '{"service": {"name": "web", "check": {"ttl": "30s"}}, "services": [{"name": "api", "id": "a1"}]}'),
        (
            "s.hcl",
            'service {\n  name = "web"\n  check { ttl = "30s" }\n}\nservices = [{ name = "api", id = "a1" }]\n',
        ),
    ],
)
def test_services_from_files(run: Run, http_agent: FakeHttpAgent, tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).write_text(text)
    for target in ("register", "deregister/web", "deregister/a1"):
        http_agent.answer(f"PUT /v1/agent/service/{target}", b"")
    path = str(tmp_path / file)
    assert run("services", "register", path).out == "Registered service: web\nRegistered service: api\n"
    assert run("services", "deregister", path).out == "Deregistered service: web\nDeregistered service: a1\n"
    assert [json.loads(asked.body) for asked in http_agent.asked[:2]] == [
        {"name": "web", "check": {"ttl": "30s"}},
        {"name": "api", "id": "a1"},
    ]


def test_service_files_that_define_none_are_refused(run: Run, http_agent: FakeHttpAgent, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "b.json").write_text("{")
    (tmp_path / "c.hcl").write_text("service {")
    for name in ("a.json", "b.json", "c.hcl", "none.json"):
        ran = run("services", "register", str(tmp_path / name))
        assert ran.code == 1
        assert name in ran.err
    assert run("services", "register").code == 1
    assert run("services", "deregister").code == 1
    assert http_agent.asked == []


def test_validate(run: Run, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.hcl", tmp_path / "bad.hcl"
    good.write_text('datacenter = "dc1"\nbind_addr = "127.0.0.1"\ndata_dir = "/tmp/none"\n')
    bad.write_text('datacentre = "dc1"\nserver = "perhaps"\n')
    ran = run("validate", str(good))
    assert (ran.code, ran.out) == (0, "Configuration is valid!\n")
    assert run("validate", "-quiet", str(good)).out == ""
    ran = run("validate", str(good), str(bad))
    assert (ran.code, ran.out) == (1, "")
    assert f"Config validation failed: {bad}:1: datacentre" in ran.err
    assert f"Config validation failed: {bad}:2: server" in ran.err
    assert run("validate").err == "Must specify at least one config file or directory\n"


# --- how the agent is reached ---


def test_a_refused_connection_says_which_address(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONSUL_HTTP_ADDR", raising=False)
    ran = run("info", "-http-addr=127.0.0.1:1")
    assert (ran.code, ran.err) == (
        1,
        "Error querying agent: GET http://127.0.0.1:1/v1/agent/self: connection refused\n",
    )


@pytest.mark.parametrize(
    "address", ["ftp://127.0.0.1", "127.0.0.1:port", "http://127.0.0.1:99999", "http://[x]", f"{'x' * 64}.invalid"]
)
def test_an_address_that_is_none_is_an_error(run: Run, address: str) -> None:
    ran = run("info", f"-http-addr={address}")
    assert ran.code == 1
    assert ran.err.startswith("Error querying agent: ")
    assert address in ran.err


@pytest.mark.parametrize("seconds", ["0", "-1", "86401"])
def test_a_timeout_is_a_positive_number(run: Run, seconds: str) -> None:
    ran = run("info", f"-timeout={seconds}")
    assert (ran.code, ran.err.partition("\n")[0]) == (1, "-timeout is a number of seconds from 1 to 86400")


def test_what_no_header_can_hold_is_an_error(run: Run) -> None:
    ran = run("info", "-http-addr=127.0.0.1:1", "-token=a\nb")
    assert ran.code == 1
    assert "Invalid header value" in ran.err


def test_arguments_that_are_no_text_go_out_octet_by_octet(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("GET /v1/kv/%FF?dc=%FE", [{"Key": "x", "Value": "dg=="}])
    assert run("kv", "get", "-datacenter=\udcfe", "-token=\udcfd", "\udcff").out == "v\n"
    assert http_agent.asked[0].headers["X-Consul-Token"] == "\xfd"


def test_an_answer_that_is_not_json_is_an_error(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("GET /v1/agent/self", b"<html>")
    assert run("info").err.startswith("Error querying agent: The agent answered something that is not JSON: ")


def test_a_flag_goes_before_the_environment(
    run: Run, http_agent: FakeHttpAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    http_agent.answer("GET /v1/agent/self", {"Stats": {}})
    monkeypatch.setenv("CONSUL_HTTP_ADDR", "127.0.0.1:1")
    assert run("info").code == 1
    assert run("info", f"-http-addr=http://{http_agent.address}").code == 0


def test_a_unix_socket(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(tmp_path / "agent.sock") as agent:
        agent.answer("GET /v1/agent/self", {"Stats": {"agent": {"a": "b"}}})
        monkeypatch.setenv("CONSUL_HTTP_ADDR", agent.address)
        assert run("info").out == "agent:\n\ta = b\n"


def test_tokens_come_from_flags_then_variables_then_files(
    run: Run, http_agent: FakeHttpAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    http_agent.answer("GET /v1/agent/self", {"Stats": {}})
    (tmp_path / "token").write_text("from-file\n")
    run("info")
    monkeypatch.setenv("CONSUL_HTTP_TOKEN_FILE", str(tmp_path / "token"))
    run("info")
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "from-variable")
    run("info")
    run("info", "-token-file", str(tmp_path / "token"))
    run("info", "-token=from-flag", "-token-file", str(tmp_path / "token"))
    tokens = [asked.headers.get("X-Consul-Token") for asked in http_agent.asked]
    assert tokens == [None, "from-file", "from-variable", "from-file", "from-flag"]
    ran = run("info", "-token-file", str(tmp_path / "none"))
    assert ran.code == 1
    assert ran.err.startswith("Error loading token file ")


def test_http_auth(run: Run, http_agent: FakeHttpAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    http_agent.answer("GET /v1/agent/self", {"Stats": {}})
    monkeypatch.setenv("CONSUL_HTTP_AUTH", "user:secret")
    run("info")
    assert http_agent.asked[0].headers["Authorization"] == "Basic dXNlcjpzZWNyZXQ="
