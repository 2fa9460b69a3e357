"""A slice of the fuzzing of HTTP and DNS (`interfaces.py`), always the same one; and that it would find faults."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from consul_kernel_http.routes import ROUTES
from consul_kernel_http.routes_later import ROUTES_LATER
from fuzz.campaign import Campaign
from fuzz.choices import RandomChoices
from fuzz.command_lines import check_command_line, make_command_line
from fuzz.config_texts import check_config, make_config
from fuzz.consul_failures import is_consuls
from fuzz.dns_answers import judge as judge_dns
from fuzz.dns_packets import make_question
from fuzz.http_answers import Heard, judge
from fuzz.http_requests import Request, make_request
from fuzz.http_streams import Stream, pour
from fuzz.interfaces import draw_requests
from fuzz.victim_agents import VictimAgents

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[VictimAgents]:
    """A server and a client of it."""
    victims = VictimAgents(tmp_path).start()
    yield victims
    victims.close()


def test_requests(agents: VictimAgents) -> None:
    with Campaign(agents) as campaign:
        campaign.round("requests", 2_000, "suite")
        draw_requests(campaign, 80, None)


def test_streams(agents: VictimAgents) -> None:
    with Campaign(agents) as campaign:
        campaign.round("streams", 200, "suite")


def test_questions_and_packets(agents: VictimAgents) -> None:
    with Campaign(agents) as campaign:
        campaign.round("questions", 800, "suite")
        campaign.round("packets", 800, "suite")


def test_agent_files() -> None:
    outcomes = {check_config(make_config(RandomChoices(f"suite/{number}"))) for number in range(40)}
    assert outcomes == {"taken", "refused"}


def test_command_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(address: tuple[str, int], *_: object, **__: object) -> None:
        address[0].encode("idna")
        raise ConnectionRefusedError

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONSUL_HTTP_ADDR", "127.0.0.1:1")
    monkeypatch.setattr("socket.create_connection", refuse)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"garbage")))
    for number in range(1_500):
        arguments = make_command_line(RandomChoices(f"suite/{number}"))
        try:
            check_command_line(arguments)
        except BaseException as error:
            error.add_note(repr(arguments))
            raise


# --- what the fuzzer itself is worth ---


def test_every_route_is_asked() -> None:
    asked = {make_request(RandomChoices(f"routes/{number}")).pattern for number in range(6_000)}
    assert {route.pattern for route in (*ROUTES, *ROUTES_LATER)} <= asked


def test_a_fault_and_a_stall_and_what_stays_behind_are_found(
    agents: VictimAgents, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Request("/v1/kv/", "GET", b"/v1/kv/a")
    with Campaign(agents) as campaign:
        campaign.ask(case)
        with monkeypatch.context() as patch:
            patch.setattr("consul_kernel_http.endpoints.kv.read_options", _break)
            with pytest.raises(AssertionError, match="is broken"):
                campaign.ask(case)
        agents.longest_stall_s = 60.0
        with pytest.raises(AssertionError, match="kept busy for 60"):
            agents.check()
    monkeypatch.setattr("fuzz.victim_agents.SETTLE_TIMEOUT_S", 0.2)
    before = agents.probe()
    held = [socket.create_connection(_address(agents)) for _ in range(6)]
    try:
        with pytest.raises(AssertionError, match="'server connections': '0 -> 6'"):
            agents.wait_settled(before)
    finally:
        for client in held:
            client.close()


def _break(*_: object) -> None:
    raise ZeroDivisionError("this is broken")


def _address(agents: VictimAgents) -> tuple[str, int]:
    host, _, port = agents.http_addresses[0].rpartition(":")
    return host, int(port)


def test_what_is_not_cut_off_is_found(agents: VictimAgents) -> None:
    slow = Stream(b"GET / HTTP/1.1\r\nX: " + b"y" * 500, trickles_from=0)
    assert pour(agents.http_addresses[0], [slow], within_s=0.2) == [(slow, b"")]
    assert pour(agents.http_addresses[0], [slow], within_s=5.0) == []


@pytest.mark.parametrize("text", ["Internal server error", "'NoneType' object has no attribute 'x'", "unhandled"])
def test_an_own_500_is_none_of_consuls(text: str) -> None:
    assert not is_consuls(500, text)
    with pytest.raises(AssertionError):
        judge(Heard(500, {}, text.encode(), is_whole=True))


def test_dns_answers_are_judged() -> None:
    question = make_question(RandomChoices("judge")).data
    with pytest.raises(AssertionError, match="no answer"):
        judge_dns(question, None, is_valid=True, is_tcp=False)
    with pytest.raises(AssertionError, match="another id"):
        judge_dns(question, b"xx" + question[2:], is_valid=True, is_tcp=False)
    with pytest.raises(AssertionError, match="no answer, by its flags"):
        judge_dns(question, question, is_valid=True, is_tcp=False)
