"""`consul-kernel operator raft …`."""

from __future__ import annotations

import pytest

from core.cli.conftest import Run
from core.cli.fake_http_agent import FakeHttpAgent

SERVERS = [
    {
        "ID": "id-1",
        "Node": "s1",
        "Address": "10.0.0.1:8300",
        "Leader": False,
        "ProtocolVersion": "3",
        "Voter": True,
    },
    {
        "ID": "id-2",
        "Node": "server-2",
        "Address": "10.0.0.2:8300",
        "Leader": True,
        "ProtocolVersion": "",
        "Voter": False,
    },
]


def test_peers_are_listed_in_consuls_columns(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("GET /v1/operator/raft/configuration", {"Servers": SERVERS, "Index": 0})
    http_agent.answer("GET /v1/operator/raft/configuration?stale=", {"Servers": None, "Index": 0})
    ran = run("operator", "raft", "list-peers")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        "Node      ID    Address        State     Voter  RaftProtocol\n"
        "s1        id-1  10.0.0.1:8300  follower  true   3\n"
        "server-2  id-2  10.0.0.2:8300  leader    false  <=1\n"
    )
    assert run("operator", "raft", "list-peers", "-stale").out == ("Node  ID  Address  State  Voter  RaftProtocol\n")


def test_a_peer_is_removed_by_address_or_id(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("DELETE /v1/operator/raft/peer?address=10.0.0.1%3A8300", b"")
    http_agent.answer("DELETE /v1/operator/raft/peer?id=id-1", b"")
    ran = run("operator", "raft", "remove-peer", "-address", "10.0.0.1:8300")
    assert (ran.code, ran.out) == (0, 'Removed peer with address "10.0.0.1:8300"\n')
    assert run("operator", "raft", "remove-peer", "-id=id-1").out == 'Removed peer with id "id-1"\n'


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Error removing peer: an address or id is required for the peer to remove\n"),
        (("-id=a", "-address=b"), "Error removing peer: cannot give both an address and id\n"),
        (("x",), "Too many arguments (expected 0, got 1)\n"),
        (
            ("-id=gone",),
            'Error removing peer: Unexpected response code: 500 (id "gone" was not found in the Raft configuration)\n',
        ),
    ],
)
def test_what_cannot_be_removed(run: Run, http_agent: FakeHttpAgent, arguments: tuple[str, ...], said: str) -> None:
    refusal = b'id "gone" was not found in the Raft configuration'
    http_agent.answer("DELETE /v1/operator/raft/peer?id=gone", refusal, 500)
    ran = run("operator", "raft", "remove-peer", *arguments)
    assert (ran.code, ran.out, ran.err) == (1, "", said)


def test_leadership_is_transferred(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("POST /v1/operator/raft/transfer-leader", {"Success": True})
    http_agent.answer("POST /v1/operator/raft/transfer-leader?id=id-2", b"leadership was not transferred: x", 500)
    assert run("operator", "raft", "transfer-leader").out == "Success\n"
    ran = run("operator", "raft", "transfer-leader", "-id", "id-2")
    assert ran.code == 1
    assert ran.err == (
        "Error transfering leadership: Failed to transfer leadership Unexpected response code: 500 "
        "(leadership was not transferred: x)\n"
    )


def test_groups_within_groups_show_what_is_in_them(run: Run) -> None:
    ran = run("operator", "-h")
    assert ran.code == 0
    assert "    raft         Shows and changes the quorum" in ran.out
    assert "list-peers" not in ran.out
    ran = run("operator", "raft")
    assert ran.code == 1
    assert "    list-peers         Lists the servers of the quorum\n" in ran.err
    assert "    operator       Looks after the servers\n" in run("-h").out
    assert "operator raft" not in run("-h").out
