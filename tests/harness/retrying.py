"""A client that tries again once, as careful ones do, and remembers what reached it all the same."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Sequence

from .agents import AgentProcess


class RetryingClient:
    """Writes a key and reads it back, through each agent in turn; two failures of one request are an error."""

    def __init__(self, agents: Sequence[AgentProcess], datacenters: Sequence[str], *, timeout_s: float = 30.0) -> None:
        self._agents = agents
        self._datacenters = datacenters
        self._timeout_s = timeout_s
        self.requests = 0
        self.retries: list[str] = []
        self.errors: list[str] = []

    def round(self, number: int) -> None:
        """One write and one read for each pair of an agent and a datacenter."""
        for agent in self._agents:
            for datacenter in self._datacenters:
                key = f"{agent.name}/{datacenter}"
                value = f"{number}"
                self._once_more(f"write {key}", lambda a=agent, d=datacenter, k=key, v=value: _write(a, d, k, v))  # type: ignore[misc]
                self._once_more(f"read {key}", lambda a=agent, d=datacenter, k=key, v=value: _read(a, d, k, v))  # type: ignore[misc]

    def _once_more(self, what: str, request: Callable[[], str]) -> None:
        """`request` gives "" or what went wrong."""
        self.requests += 1
        first = request()
        if first:
            self.retries.append(f"{what}: {first}")
            second = request()
            if second:
                self.errors.append(f"{what}: {first}; then {second}")


class Background:
    """Rounds of a client in a thread, until it is told to end."""

    def __init__(self, client: RetryingClient) -> None:
        self.client = client
        self.rounds = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.is_set():
            self.client.round(self.rounds)
            self.rounds += 1

    def end(self) -> None:
        """Let the round under way end."""
        self._end.set()
        self._thread.join()


def _write(agent: AgentProcess, datacenter: str, key: str, value: str) -> str:
    try:
        answer = agent.ask("PUT", f"/v1/kv/{key}?dc={datacenter}", value)
    except OSError as error:
        return repr(error)
    return "" if answer.status == 200 and answer.body.strip() == b"true" else f"{answer.status} {answer.body!r}"


def _read(agent: AgentProcess, datacenter: str, key: str, value: str) -> str:
    try:
        answer = agent.ask("GET", f"/v1/kv/{key}?dc={datacenter}")
    except OSError as error:
        return repr(error)
    if answer.status != 200:
        return f"{answer.status} {answer.body!r}"
    found = base64.b64decode(answer.json[0]["Value"]).decode()
    return "" if found == value else f"read {found}, wrote {value}"
