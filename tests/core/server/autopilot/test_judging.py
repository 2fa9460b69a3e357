"""Who is well, since when, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from consul_kernel.server.autopilot.decisions import to_promote, to_remove
from consul_kernel.server.autopilot.judging import SILENT, Sighting
from consul_kernel.server.autopilot.view import autopilot_state, cluster_health
from consul_kernel.structs.autopilot import AutopilotConfig, NodeStatus
from consul_kernel.structs.go_time import unpack_time
from core.server.autopilot.sightings import CONFIG, LEADER, judged, sighting

SECOND_MS = 1000
SHORT = AutopilotConfig(server_stabilization_time=5_000_000_000)


@pytest.mark.parametrize(
    ("facts", "well"),
    [
        ({}, True),
        ({"contact_ms": 200}, True),
        ({"contact_ms": 201}, False),
        ({"contact_ms": -1}, False),
        ({"term": 2}, False),
        ({"index": 750}, True),
        ({"index": 749}, False),
        ({"index": 1001}, True),
        ({"status": NodeStatus.FAILED}, False),
        ({"status": NodeStatus.LEFT}, False),
    ],
)
def test_who_keeps_up_is_well(facts: dict[str, Any], well: bool) -> None:
    judgement = judged(sighting("b", **facts))
    assert judgement.health["id-b"].healthy is well
    assert judgement.healthy is well


def test_who_does_not_answer_is_not_well() -> None:
    silent = Sighting(server=sighting("b").server, name="b", status=NodeStatus.ALIVE, stats=SILENT)
    assert not judged(silent).healthy


def test_a_state_counts_from_when_it_began() -> None:
    judgement = judged(sighting("b"), now_ms=1000)
    for now_ms, well, since_ms in ((3000, True, 1000), (5000, False, 5000), (7000, False, 5000), (9000, True, 9000)):
        seen = sighting("b", contact_ms=10 if well else 999)
        judgement = judged(seen, before=judgement, now_ms=now_ms)
        health = judgement.health["id-b"]
        assert (health.healthy, health.since_ms, health.since_unix_ns) == (well, since_ms, since_ms * 1_000_000)
    assert judgement.watched_since_ms == 1000


@pytest.mark.parametrize(
    ("votes", "well", "tolerance"),
    [
        ([], [], 0),
        ([True], [True], 0),
        ([True, True], [True, True], 1),
        ([True, True], [True, False], 0),
        ([True] * 4, [True] * 4, 2),
        ([True] * 4, [False] * 4, 0),
        ([True, True, False], [True, True, True], 1),
    ],
)
def test_how_many_may_fail(votes: list[bool], well: list[bool], tolerance: int) -> None:
    others = [
        sighting(f"b{number}", votes=vote, contact_ms=1 if is_well else 999)
        for number, (vote, is_well) in enumerate(zip(votes, well, strict=True))
    ]
    assert judged(*others).failure_tolerance == tolerance


def test_a_server_gets_a_vote_once_it_was_well_for_long_enough() -> None:
    long_ago = judged(sighting("b", contact_ms=999, votes=False))
    late = judged(sighting("b", votes=False), before=long_ago, now_ms=60 * SECOND_MS)
    assert to_promote(late, SHORT, 64 * SECOND_MS) == []
    assert to_promote(late, SHORT, 65 * SECOND_MS) == ["id-b"]
    ill = judged(sighting("b", votes=False, index=1), before=late, now_ms=66 * SECOND_MS)
    assert to_promote(ill, SHORT, 90 * SECOND_MS) == []
    voter = judged(sighting("b"), before=late, now_ms=66 * SECOND_MS)
    assert to_promote(voter, SHORT, 90 * SECOND_MS) == []


def test_a_leader_that_has_not_watched_for_long_gives_votes_at_once() -> None:
    judgement = judged(sighting("c", votes=False), sighting("b", votes=False), sighting("d", votes=False, term=1))
    assert to_promote(judgement, SHORT, 0) == ["id-b", "id-c"]
    assert to_promote(judgement, SHORT, 5500) == ["id-b", "id-c"]
    joined_late = judged(sighting("b", votes=False), before=judged(now_ms=0), now_ms=5400)
    assert to_promote(joined_late, SHORT, 5501) == []


def failed(name: str, *, votes: bool = True) -> Sighting:
    return replace(sighting(name, status=NodeStatus.FAILED, votes=votes), stats=SILENT)


@pytest.mark.parametrize(
    ("dead", "stale", "voters", "min_quorum", "removed"),
    [
        ([failed("b")], [], 3, 0, ["id-b"]),
        ([failed("b")], [], 2, 0, []),
        ([failed("b"), failed("c")], [], 3, 0, ["id-b"]),
        ([failed("c"), failed("b")], [], 5, 0, ["id-b", "id-c"]),
        ([failed("c"), failed("b")], [], 5, 4, ["id-b"]),
        ([failed("b")], [], 3, 3, []),
        ([failed("b")], [], 3, 9, []),
        ([failed("b", votes=False)], [], 1, 9, ["id-b"]),
        ([], ["id-x"], 3, 0, ["id-x"]),
        ([failed("z")], ["id-x"], 3, 0, ["id-x"]),
        ([], [], 3, 0, []),
        ([sighting("b", status=NodeStatus.FAILED)], [], 3, 0, []),
        ([sighting("b", status=NodeStatus.FAILED, votes=False)], [], 3, 0, []),
    ],
)
def test_the_dead_are_removed_while_a_majority_stays(
    dead: list[Sighting], stale: list[str], voters: int, min_quorum: int, removed: list[str]
) -> None:
    config = AutopilotConfig(min_quorum=min_quorum)
    assert to_remove(judged(*dead), stale, voters, config) == removed
    config.cleanup_dead_servers = False
    assert to_remove(judged(*dead), stale, voters, config) == []


def test_both_views_tell_the_same() -> None:
    judgement = judged(sighting("b", votes=False, contact_ms=999), sighting("c", status=NodeStatus.FAILED), now_ms=5)
    state, health = autopilot_state(judgement), cluster_health(judgement)
    assert (state.healthy, state.failure_tolerance, state.leader, state.voters) == (False, 0, "id-a", ["id-a", "id-c"])
    assert state.servers is not None
    assert {key: (found.state, found.health.healthy) for key, found in state.servers.items()} == {
        "id-a": ("leader", True),
        "id-b": ("non-voter", False),
        "id-c": ("voter", False),
    }
    found = state.servers["id-b"]
    assert (found.server.name, found.server.address, found.stats.last_contact) == ("b", "b:8300", 999_000_000)
    assert unpack_time(found.health.stable_since) == 5_000_000
    assert (health.healthy, health.failure_tolerance) == (False, 0)
    assert health.servers is not None
    assert [(server.name, server.serf_status, server.voter, server.leader) for server in health.servers] == [
        ("a", 1, True, True),
        ("b", 1, False, False),
        ("c", 4, True, False),
    ]
    assert LEADER.stats.last_contact_ns == 0
    assert CONFIG.max_trailing_logs == 250
