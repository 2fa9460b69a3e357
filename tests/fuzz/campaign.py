"""Cases of every kind against two agents, and what must hold after each of them and after all."""

from __future__ import annotations

import socket
from collections import Counter
from types import TracebackType

from fuzz.choices import Choices, RandomChoices
from fuzz.config_texts import ConfigText, check_config, make_config
from fuzz.dns_answers import ask_tcp, ask_udp
from fuzz.dns_answers import judge as judge_dns
from fuzz.dns_packets import Packet, make_packet, make_question
from fuzz.http_answers import Heard, exchange, judge
from fuzz.http_requests import PREPARED, Request, make_request
from fuzz.http_streams import make_stream, pour
from fuzz.victim_agents import BODY_TIMEOUT_S, HEADER_TIMEOUT_S, VictimAgents

CHECK_EVERY = 50
STREAMS_AT_ONCE = 100
STREAM_PATIENCE_S = HEADER_TIMEOUT_S + BODY_TIMEOUT_S + 4.0
"""Overdue headers are looked for once a second."""


class Campaign:
    """Sends cases, three quarters of them to the server and the others to the client agent."""

    def __init__(self, agents: VictimAgents) -> None:
        self._agents = agents
        self._cases = 0
        self.counters: Counter[str] = Counter()
        self._before = agents.probe()
        self._udp = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in agents.dns_addresses]
        for client, address in zip(self._udp, agents.dns_addresses, strict=True):
            client.connect(address)

    def __enter__(self) -> Campaign:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for client in self._udp:
            client.close()
        if error is None:
            self._agents.check()
            self._agents.wait_settled(self._before)

    def prepare(self) -> None:
        """Make what requests name, as far as it is not there."""
        for address in self._agents.http_addresses:
            for one in PREPARED:
                heard = exchange(address, one.wire(), method=one.method)
                assert heard is not None, f"{one!r} closed without an answer"
                judge(heard)

    def round(self, kind: str, cases: int, seed: str) -> None:
        """So many cases, made from the seed and their numbers. An AssertionError's notes show the case."""
        self.prepare()
        if kind == "streams":
            for batch in range(-(-cases // STREAMS_AT_ONCE)):
                self.streams(f"{seed}/{batch}")
            return
        for number in range(cases):
            choices = RandomChoices(f"{seed}/{number}")
            if kind == "configs":
                self.config(make_config(choices))
                continue
            self.ask(make_request(choices) if kind == "requests" else self._packet(kind, choices))

    def _packet(self, kind: str, choices: Choices) -> Packet:
        return make_question(choices) if kind == "questions" else make_packet(choices)

    def ask(self, case: Request | Packet) -> None:
        """One case."""
        self._cases += 1
        try:
            if isinstance(case, Packet):
                self._packet_case(case)
            else:
                self._request_case(case)
            if self._cases % CHECK_EVERY == 0:
                self._agents.check()
        except (AssertionError, OSError, ValueError) as error:
            error.add_note(repr(case))
            raise

    def _request_case(self, case: Request) -> None:
        heard = exchange(self._agents.http_addresses[self._cases % 4 == 0], case.wire(), method=case.method)
        self._agents.check_faults()
        assert heard is not None, "closed without an answer"
        judge(heard)
        self._compare(case, heard)
        self.counters[f"{heard.status}"] += 1
        self.counters[case.pattern] += 1

    def _compare(self, case: Request, heard: Heard) -> None:
        """A read that is no agent's own business is answered alike by both, however far it has to go."""
        if case.method != "GET" or case.pattern.startswith("/v1/agent/") or not heard.is_whole:
            return
        for _ in range(3):  # what a request has begun may still go on
            found = [exchange(address, case.wire()) for address in self._agents.http_addresses]
            statuses = [None if one is None else one.status for one in found]
            if statuses[0] == statuses[1]:
                return
        raise AssertionError(f"the server answers {found[0]}, the client {found[1]}")

    def _packet_case(self, case: Packet) -> None:
        at, is_tcp = self._cases % 4 == 0, self._cases % 7 == 0
        data = case.data
        answer = ask_tcp(self._agents.dns_addresses[at], data) if is_tcp else ask_udp(self._udp[at], data)
        self._agents.check_faults()
        judge_dns(data, answer, is_valid=case.is_valid, is_tcp=is_tcp)
        self.counters["dns silence" if answer is None else f"dns rcode {answer[3] & 15}"] += 1

    def streams(self, seed: str) -> None:
        """Some connections at once, with whatever on them."""
        self._cases += STREAMS_AT_ONCE
        poured = [make_stream(RandomChoices(f"{seed}/{number}")) for number in range(STREAMS_AT_ONCE)]
        wrong = pour(self._agents.http_addresses[self._cases // STREAMS_AT_ONCE % 2], poured, STREAM_PATIENCE_S)
        shown = "\n".join(f"{stream!r}: {head[:300]!r}" for stream, head in wrong[:5])
        assert not wrong, f"{len(wrong)} neither cut off nor answered by HTTP:\n{shown}"
        self.counters["streams"] += len(poured)
        self._agents.check()

    def config(self, case: ConfigText) -> None:
        """One agent file, which nobody runs."""
        try:
            self.counters[f"configuration {check_config(case)}"] += 1
        except Exception as error:
            error.add_note(repr(case))
            raise
