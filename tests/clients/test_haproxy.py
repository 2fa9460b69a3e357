"""HAProxy with an agent as its resolver: instances that come and go are served, and left alone, without a reload."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.agents import AgentProcess
from harness.haproxy import HAPROXY, HOW_TO_INSTALL, HAProxy
from harness.http import Answer, request
from harness.waiting import wait_for

pytestmark = pytest.mark.skipif(HAPROXY is None, reason=HOW_TO_INSTALL)

SLOTS = 12
_hosts = itertools.cycle(range(1, 255))


class Echo(BaseHTTPRequestHandler):
    """Says which instance it is."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = str(self.connection.getsockname()[1]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nobody reads it."""


class Quiet(ThreadingHTTPServer):
    """Says nothing of connections that end at once, as those of HAProxy's checks do."""

    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Nothing."""


class Instance:
    """A small HTTP server that is registered as an instance of a service."""

    def __init__(self, agent: AgentProcess, service: str, **more: Any) -> None:
        # HAProxy takes an address for one server only, so that each instance has one of loopback for itself.
        self.address = f"127.0.1.{next(_hosts)}"
        self._http = Quiet((self.address, 0), Echo)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.port = self._http.server_port
        self._agent = agent
        self.id = f"{service}-{self.port}"
        body = {"Name": service, "ID": self.id, "Address": self.address, "Port": self.port, **more}
        assert agent.ask("PUT", "/v1/agent/service/register", body).status == 200

    def deregister(self) -> None:
        """Take it out of the catalog; it answers all the same."""
        assert self._agent.ask("PUT", f"/v1/agent/service/deregister/{self.id}").status == 200

    def close(self) -> None:
        """End the server."""
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


class Site:
    """A service, its instances, and HAProxy in front of them."""

    def __init__(self, agent: AgentProcess, home: Path, name: str, transport: str) -> None:
        self.agent = agent
        self.name = name
        self.instances: list[Instance] = []
        host, port = agent.dns
        self.proxy = HAProxy(home, f"{transport}@{host}:{port}", f"_{name}._tcp.service.consul", slots=SLOTS)

    def start(self, count: int, **more: Any) -> list[Instance]:
        """More instances."""
        made = [Instance(self.agent, self.name, **more) for _ in range(count)]
        self.instances += made
        return made

    def wait_used(self, instances: list[Instance]) -> None:
        """Until HAProxy uses these and no others."""
        ports = {instance.port for instance in instances}
        wait_for(lambda: set(self.proxy.servers()) == ports, f"the servers {sorted(ports)} in HAProxy")

    def ask(self) -> Answer:
        """One request through HAProxy."""
        return request(self.proxy.address, "GET", "/")

    def reached(self, requests: int) -> set[int]:
        """Which instances answer that many requests; none may fail."""
        answers = [self.ask() for _ in range(requests)]
        assert {answer.status for answer in answers} == {200}
        return {int(answer.body) for answer in answers}

    def close(self) -> None:
        self.proxy.close()
        for instance in self.instances:
            instance.close()


@pytest.fixture(params=["udp", "tcp"])
def site(request: pytest.FixtureRequest, server: AgentProcess, tmp_path: Path) -> Iterator[Site]:
    made = Site(server, tmp_path, f"shop-{request.param}", request.param)
    yield made
    made.close()


def test_instances_come_and_go(site: Site) -> None:
    first, second = site.start(2)
    site.wait_used([first, second])
    assert site.reached(8) == {first.port, second.port}
    assert site.proxy.servers()[first.port]["srv_addr"] == first.address

    more = site.start(SLOTS - 2)
    site.wait_used([first, second, *more])
    assert site.reached(2 * SLOTS) == {instance.port for instance in (first, second, *more)}

    first.deregister()
    site.wait_used([second, *more])
    assert first.port not in site.reached(2 * SLOTS)
    for instance in more:
        instance.deregister()
    site.wait_used([second])
    assert site.reached(4) == {second.port}

    (again,) = site.start(1)
    site.wait_used([second, again])
    assert site.reached(8) == {second.port, again.port}
    second.deregister()
    again.deregister()
    site.wait_used([])
    assert site.ask().status == 503


def test_an_instance_that_is_ill_gets_no_requests(site: Site) -> None:
    well, ill = site.start(2, Check={"TTL": "1h", "Status": "passing"})
    site.wait_used([well, ill])
    assert site.agent.ask("PUT", f"/v1/agent/check/fail/service:{ill.id}").status == 200
    site.wait_used([well])
    assert site.reached(6) == {well.port}
    assert site.agent.ask("PUT", f"/v1/agent/check/pass/service:{ill.id}").status == 200
    site.wait_used([well, ill])
    assert site.agent.ask("PUT", f"/v1/agent/service/maintenance/{well.id}?enable=true").status == 200
    site.wait_used([ill])
    assert site.reached(6) == {ill.port}
    for instance in (well, ill):
        instance.deregister()


def test_weights_of_instances_are_those_of_haproxy(site: Site) -> None:
    (light,) = site.start(1, Weights={"Passing": 256, "Warning": 1})
    (heavy,) = site.start(1, Weights={"Passing": 2560, "Warning": 1})
    site.wait_used([light, heavy])

    def weights() -> dict[int, int]:
        return {port: int(row["srv_uweight"]) for port, row in site.proxy.servers().items()}

    wait_for(lambda: len(set(weights().values())) == 2, "weights of their own")
    found = weights()
    assert 8 <= found[heavy.port] / found[light.port] <= 11
    answers = [int(site.ask().body) for _ in range(33)]
    assert answers.count(heavy.port) > 4 * answers.count(light.port)
    for instance in (light, heavy):
        instance.deregister()
