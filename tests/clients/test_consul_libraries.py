"""py-consul and python-consul2 at what they are used for: locks, elections, watches, services, transactions."""

from __future__ import annotations

import base64
import importlib.metadata
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from clients.consul_libraries import HOW_TO_INSTALL, PY_CONSUL, PYTHON_CONSUL2, load
from harness.agents import AgentProcess
from harness.waiting import wait_for

# python-consul2 warns whenever a client is made.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:consul.base")

PATIENCE_S = 10.0


class Library:
    """One of the libraries, and names that the other's tests do not use."""

    def __init__(self, name: str, agent: AgentProcess) -> None:
        self.module: Any = load(name)
        if self.module is None:
            pytest.skip(f"{name} is not installed: {HOW_TO_INSTALL}")
        self.prefix = name
        self._agent = agent

    def client(self) -> Any:
        """A client of its own, as every thread needs one."""
        host, port = self._agent.http.split(":")
        return self.module.Consul(host, int(port))


@pytest.fixture(params=[PY_CONSUL, PYTHON_CONSUL2])
def library(request: pytest.FixtureRequest, server: AgentProcess) -> Library:
    return Library(request.param, server)


@pytest.fixture
def client(library: Library) -> Any:
    return library.client()


class Worker:
    """Work in a thread, whose outcome is asked for in the end."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._outcome: list[Any] = []
        self._thread = threading.Thread(target=lambda: self._outcome.append(work()), daemon=True)
        self._thread.start()

    def outcome(self) -> Any:
        """What the work returned, or a failure of the test."""
        self._thread.join(PATIENCE_S)
        assert self._outcome, "the work is not done, or has failed"
        return self._outcome[0]


def test_each_library_is_the_one_it_says(library: Library) -> None:
    distributions = importlib.metadata.distributions(path=[str(Path(library.module.__file__).parents[1])])
    assert library.prefix in {distribution.name.replace("_", "-") for distribution in distributions}


# --- locks and elections ---


def test_a_lock_keeps_others_out_until_it_is_released(library: Library, client: Any) -> None:
    key = f"{library.prefix}/lock"
    mine = client.session.create(name="mine", ttl=60, lock_delay=0)
    other = client.session.create(name="other", ttl=60, lock_delay=0)
    assert client.kv.put(key, "mine", acquire=mine) is True
    assert client.kv.put(key, "other", acquire=other) is False
    index, entry = client.kv.get(key)
    assert (entry["Session"], entry["LockIndex"], entry["Value"]) == (mine, 1, b"mine")
    assert client.kv.put(key, "", release=other) is False
    waiting = Worker(lambda: library.client().kv.get(key, index=index, wait="30s"))
    assert client.kv.put(key, "free", release=mine) is True
    assert "Session" not in waiting.outcome()[1]
    assert client.kv.put(key, "other", acquire=other) is True
    assert client.session.renew(other)["ID"] == other
    assert client.kv.get(key)[1]["LockIndex"] == 2
    assert client.session.destroy(other) is True
    assert client.session.info(other)[1] is None
    assert "Session" not in client.kv.get(key)[1]


class Contender:
    """Stands for election until it leads: tries, and waits for the key to change when another has it."""

    def __init__(self, library: Library, name: str) -> None:
        self._client = library.client()
        self.key = f"{library.prefix}/leader"
        self.service = f"{library.prefix}-{name}"
        self.check = f"service:{self.service}"
        self._client.agent.service.register(self.service, check=library.module.Check.ttl("1h"))
        self._client.agent.check.ttl_pass(self.check)
        found = wait_for(lambda: self._client.health.service(self.service, passing=True)[1], "a healthy contender")
        self.node = found[0]["Node"]["Node"]
        self.session = self._client.session.create(checks=["serfHealth", self.check], lock_delay=0)

    def lead(self) -> str:
        """Return once this one leads; its name."""
        index = None
        while not self._client.kv.put(self.key, self.service, acquire=self.session):
            index, _ = self._client.kv.get(self.key, index=index, wait="30s")
        return self.service

    def fall_ill(self) -> None:
        """Its check fails, as that of a process that is gone would."""
        self._client.agent.check.ttl_fail(self.check, "gone")


def test_an_election_goes_to_the_next_when_the_leader_falls_ill(library: Library, client: Any) -> None:
    first, second = Contender(library, "first"), Contender(library, "second")
    assert first.lead() == first.service
    standing = Worker(second.lead)
    assert client.kv.get(first.key)[1]["Session"] == first.session
    first.fall_ill()
    assert standing.outcome() == second.service
    entry = client.kv.get(first.key)[1]
    assert (entry["Session"], entry["Value"]) == (second.session, second.service.encode())
    assert first.session not in {session["ID"] for session in client.session.list()[1]}
    assert second.session in {session["ID"] for session in client.session.node(second.node)[1]}


# --- watches ---


def test_a_watch_loop_sees_every_change(library: Library, client: Any) -> None:
    key = f"{library.prefix}/watched"
    seen: list[bytes] = []
    news = threading.Semaphore(0)

    def watch() -> list[bytes]:
        mine, index = library.client(), None
        while b"end" not in seen:
            index, entry = mine.kv.get(key, index=index, wait="30s")
            if entry is not None:
                seen.append(entry["Value"])
                news.release()
        return seen

    watching = Worker(watch)
    values = [*(f"change {number}".encode() for number in range(20)), b"end"]
    for value in values:
        assert client.kv.put(key, value) is True
        assert news.acquire(timeout=PATIENCE_S)
        client.kv.put(f"{library.prefix}/beside", value)  # wakes nobody, or is no change
    assert watching.outcome() == values


def test_a_watch_loop_sees_instances_come_fail_and_go(library: Library, client: Any) -> None:
    name = f"{library.prefix}-watched"
    states: list[dict[str, bool]] = []
    news = threading.Semaphore(0)

    def watch() -> list[dict[str, bool]]:
        mine, index = library.client(), None
        while True:
            index, found = mine.health.service(name, index=index, wait="30s")
            state = {
                one["Service"]["ID"]: all(check["Status"] == "passing" for check in one["Checks"]) for one in found
            }
            if not states or state != states[-1]:
                states.append(state)
                news.release()
                if len(states) > 1 and not state:
                    return states

    watching = Worker(watch)

    def next_state() -> dict[str, bool]:
        assert news.acquire(timeout=PATIENCE_S), states
        return states[-1]

    assert next_state() == {}
    for instance in ("a", "b"):
        client.agent.service.register(name, service_id=f"{name}-{instance}", check=library.module.Check.ttl("1h"))
        assert next_state()[f"{name}-{instance}"] is False
        client.agent.check.ttl_pass(f"service:{name}-{instance}")
        assert next_state()[f"{name}-{instance}"] is True
    client.agent.check.ttl_warn(f"service:{name}-a", "slow")
    assert next_state() == {f"{name}-a": False, f"{name}-b": True}
    client.agent.service.deregister(f"{name}-a")
    assert next_state() == {f"{name}-b": True}
    client.agent.service.deregister(f"{name}-b")
    assert watching.outcome()[-1] == {}


# --- services and their checks ---


class Health(BaseHTTPRequestHandler):
    """A service that says how it is."""

    def do_GET(self) -> None:
        well = self.server.well  # type: ignore[attr-defined]
        body = b"fine" if well else b"ill"
        self.send_response(200 if well else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nobody reads it."""


@pytest.fixture
def service() -> Iterator[ThreadingHTTPServer]:
    """A small HTTP service, with `well` to be set."""
    made = ThreadingHTTPServer(("127.0.0.1", 0), Health)
    made.well = True  # type: ignore[attr-defined]
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_a_service_is_found_as_long_as_its_http_check_passes(
    library: Library, client: Any, service: ThreadingHTTPServer
) -> None:
    name, port = f"{library.prefix}-web", service.server_port
    check = library.module.Check.http(f"http://127.0.0.1:{port}/", "1s", timeout="1s")
    assert client.agent.service.register(name, service_id=f"{name}-1", port=port, tags=["v1"], check=check) is True

    def healthy() -> Any:
        return client.health.service(name, passing=True, tag="v1")[1]

    found = wait_for(healthy, "the instance, healthy")[0]
    assert (found["Service"]["Port"], found["Service"]["Tags"]) == (port, ["v1"])
    output = next(check["Output"] for check in found["Checks"] if check["CheckID"] == f"service:{name}-1")
    assert output == f"HTTP GET http://127.0.0.1:{port}/: 200 OK Output: fine"
    service.well = False  # type: ignore[attr-defined]
    wait_for(lambda: healthy() == [], "the instance, ill")
    checks = client.health.checks(name)[1]
    assert [(check["Status"], check["ServiceName"]) for check in checks] == [("critical", name)]
    assert "503" in checks[0]["Output"]
    assert name in client.catalog.services()[1]
    assert client.agent.service.deregister(f"{name}-1") is True
    wait_for(lambda: name not in client.catalog.services()[1], "the service out of the catalog")


def test_a_service_with_a_ttl_check_of_its_own(library: Library, client: Any) -> None:
    name = f"{library.prefix}-queue"
    client.agent.service.register(name, port=5672)
    assert client.agent.check.register(
        f"{name} alive", check=library.module.Check.ttl("1h"), check_id=f"{name}-alive", service_id=name
    )
    assert client.agent.checks()[f"{name}-alive"]["Status"] == "critical"
    client.agent.check.ttl_pass(f"{name}-alive", "at work")
    wait_for(lambda: client.health.service(name, passing=True)[1], "the service, healthy")
    assert client.agent.checks()[f"{name}-alive"]["Output"] == "at work"
    client.agent.service.maintenance(name, True, "moving house")
    wait_for(lambda: client.health.service(name, passing=True)[1] == [], "the service under maintenance")
    client.agent.service.maintenance(name, False)
    wait_for(lambda: client.health.service(name, passing=True)[1], "the service back")
    assert client.agent.check.deregister(f"{name}-alive") is True
    assert client.agent.service.deregister(name) is True


# --- transactions ---


def test_a_transaction_is_carried_out_whole_or_not_at_all(library: Library, client: Any) -> None:
    def kv(verb: str, key: str, value: str | None = None, **more: Any) -> dict[str, Any]:
        encoded = None if value is None else base64.b64encode(value.encode()).decode()
        return {"KV": {"Verb": verb, "Key": f"{library.prefix}/txn/{key}", "Value": encoded, **more}}

    done = client.txn.put([kv("set", "a", "1"), kv("set", "b", "2"), kv("get", "a")])
    assert done["Errors"] is None
    assert [result["KV"]["Value"] for result in done["Results"]] == [None, None, "MQ=="]
    with pytest.raises(library.module.ConsulException, match="index is stale"):
        client.txn.put([kv("set", "a", "3"), kv("cas", "b", "3", Index=1)])
    assert client.kv.get(f"{library.prefix}/txn/a")[1]["Value"] == b"1"
    index = client.kv.get(f"{library.prefix}/txn/b")[1]["ModifyIndex"]
    client.txn.put([kv("cas", "b", "3", Index=index), kv("delete", "a")])
    assert len(client.txn.put([kv("get-tree", "")])["Results"]) == 1
    assert client.kv.get(f"{library.prefix}/txn/b")[1]["Value"] == b"3"
