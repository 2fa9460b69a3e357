"""What an operator reads about the quorum: changes of role, leader and servers, and peers that do not answer.

The algorithm knows no log. Its state is compared with what was seen at the end of the last turn, which costs four
comparisons where nothing has changed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from consul_kernel.contracts.consensus import Configuration, Role, Suffrage
from consul_kernel.contracts.metrics import Metrics

from .core import Raft
from .core.state import Leadership

_log = logging.getLogger("consul_kernel_raft")
_LINES_PER_MINUTE = 60


class Journal:
    """Writes the log of one server; at most 60 lines a minute, since what other servers send can cause them."""

    def __init__(self, now_ms: Callable[[], int], metrics: Metrics) -> None:
        self._candidacies = metrics.counter("raft.state.candidate")
        self._timeouts = metrics.counter("raft.transition.heartbeat_timeout")
        self._now_ms = now_ms
        self._role: Role | None = None
        self._pre_voting = False
        self._leader_id: str | None = None
        self._leadership: Leadership | None = None
        self._term = 0
        self._configuration = Configuration()
        self._outages: set[str] = set()
        self._minute = -1
        self._lines = 0

    # --- turns ---

    def observe(self, raft: Raft, now_ms: int) -> None:
        """Tell what the last turn has changed."""
        configuration = raft.configuration
        if configuration is not self._configuration:
            self._configuration_changed(configuration)
        if (
            raft.role is not self._role
            or raft.leader_id != self._leader_id
            or raft.pre_voting is not self._pre_voting
            or raft.leadership is not self._leadership
        ):
            self._role_changed(raft, now_ms)
            self._role, self._leader_id, self._pre_voting = raft.role, raft.leader_id, raft.pre_voting
            self._leadership, self._term = raft.leadership, raft.term

    def _role_changed(self, raft: Raft, now_ms: int) -> None:
        if self._leadership is not None and raft.leadership is not self._leadership:
            self._leadership_ended(raft, self._leadership)
        if raft.role is Role.LEADER:
            self._line(logging.INFO, "election won, entering leader state in term %d", raft.term)
        elif raft.role is Role.CANDIDATE:
            if not raft.pre_voting:
                self._candidacies.add()
            self._candidate(raft, now_ms)
        elif raft.leader_id is not None:
            self._line(logging.INFO, "following leader %s in term %d", self._name(raft, raft.leader_id), raft.term)
        elif self._role is not Role.FOLLOWER:
            self._line(logging.INFO, "entering follower state in term %d, no leader is known", raft.term)
        elif self._leader_id is not None:
            self._line(logging.INFO, "leader %s is not followed any more, term %d began", self._leader_id, raft.term)

    def _candidate(self, raft: Raft, now_ms: int) -> None:
        if self._role is not Role.CANDIDATE and self._leader_id is not None:
            leader = self._name(raft, self._leader_id)
            if raft.pre_voting:
                self._timeouts.add()
                silence_ms = now_ms - (raft.leader_contact_ms or 0)
                self._line(
                    logging.WARNING,
                    "no contact with the leader %s for %d ms, starting an election",
                    leader,
                    silence_ms,
                )
            else:
                self._line(logging.INFO, "the leader %s hands over, starting an election", leader)
        if raft.pre_voting:
            self._line(logging.INFO, "asking whether an election in term %d could be won (pre-vote)", raft.term + 1)
        else:
            self._line(logging.INFO, "entering candidate state in term %d", raft.term)

    def _leadership_ended(self, raft: Raft, leadership: Leadership) -> None:
        if leadership.transfer_sent:
            self._line(logging.INFO, "leadership handed over")
        elif raft.without_room:
            self._line(logging.ERROR, "there is no room on the disk of this server, stepping down")
        elif leadership.stalled:
            self._line(logging.ERROR, "the log of this server takes too long to write, stepping down")
        elif raft.term == self._term and raft.id in raft.voters:
            self._line(logging.WARNING, "no contact with a quorum of servers, stepping down")
        else:
            self._line(logging.INFO, "leadership ended, the term is %d now", raft.term)

    def _configuration_changed(self, configuration: Configuration) -> None:
        before, self._configuration = self._configuration, configuration
        if configuration == before:
            return
        servers = ", ".join(
            f"{server.id} at {server.address}" + ("" if server.suffrage is Suffrage.VOTER else " (no voter)")
            for server in configuration.servers
        )
        self._line(logging.INFO, "servers of the quorum by entry %d: %s", configuration.index, servers or "none")

    @staticmethod
    def _name(raft: Raft, server_id: str) -> str:
        server = raft.configuration.get(server_id)
        return f"{server_id} at {server.address}" if server is not None else server_id

    # --- peers ---

    def unreachable(self, server_id: str, address: str, reason: str) -> None:
        """A request to this server did not arrive, or was not answered; told once, until it answers again."""
        if server_id not in self._outages:
            self._outages.add(server_id)
            self._line(logging.WARNING, "server %s at %s cannot be reached: %s", server_id, address, reason)

    def answered(self, server_id: str, address: str) -> None:
        """This server answered after an outage."""
        if server_id in self._outages:
            self._outages.discard(server_id)
            self._line(logging.INFO, "server %s at %s answers again", server_id, address)

    def forget(self, server_id: str) -> None:
        """This server is not one of the quorum, or not at this address, any more."""
        self._outages.discard(server_id)

    def _line(self, level: int, text: str, *values: object) -> None:
        minute = self._now_ms() // 60_000
        if minute != self._minute:
            if self._lines > _LINES_PER_MINUTE:
                _log.warning("%d more lines about the quorum were left out", self._lines - _LINES_PER_MINUTE)
            self._minute, self._lines = minute, 0
        self._lines += 1
        if self._lines <= _LINES_PER_MINUTE:
            _log.log(level, text, *values)
