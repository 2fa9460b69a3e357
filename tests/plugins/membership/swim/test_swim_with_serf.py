"""Debian's `serf` and this membership in one pool: real processes, real sockets, on loopback addresses."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from consul_kernel.contracts.errors import MembershipError
from consul_kernel.contracts.membership import MemberStatus
from consul_kernel_aes_gcm.cipher import AesGcmCipher
from plugins.membership.swim.serf_process import SERF, OurAgent, SerfAgent, join, until

pytestmark = pytest.mark.skipif(SERF is None, reason="no `serf` binary on this machine")


@pytest.fixture
async def serf(tmp_path: Path) -> AsyncIterator[SerfAgent]:
    agent = SerfAgent("go-serf", tmp_path / "serf.log")
    try:
        await agent.start()
        yield agent
    finally:
        await agent.stop()


@pytest.fixture
async def ours() -> AsyncIterator[OurAgent]:
    agent = OurAgent("kernel")
    await agent.membership.start()
    yield agent
    await agent.stop()


async def test_both_estimate_the_round_trip_between_them(serf: SerfAgent, ours: OurAgent) -> None:
    await join(serf, ours)
    await until(lambda: ours.membership.coordinate("go-serf") is not None, serf.tail)

    async def estimated() -> bool:
        return "Estimated kernel <-> go-serf rtt" in await serf.command("rtt", "kernel", "go-serf")

    await until(estimated, serf.tail)
    text = await serf.command("rtt", "kernel", "go-serf")
    theirs_ms = float(text.split("rtt:")[1].split()[0])
    assert theirs_ms < 200
    own, other = ours.membership.coordinate(), ours.membership.coordinate("go-serf")
    assert own is not None
    assert other is not None
    assert 0 < own.distance_s(other) < 0.2
    assert "Rejected coordinate" not in serf.log.read_text(errors="replace")
    assert "coordinates_refused" not in ours.membership.stats()


async def test_members_tags_and_events_pass_both_ways(serf: SerfAgent, ours: OurAgent) -> None:
    await join(serf, ours)
    found = next(member for member in ours.membership.members() if member.name == "go-serf")
    assert dict(found.tags) == {"colour": "blue"}
    assert found.address == serf.address
    assert await serf.tags("kernel") == {"role": "kernel"}

    await ours.membership.set_tags({"role": "kernel", "version": "2"})

    async def retagged() -> bool:
        return await serf.tags("kernel") == {"role": "kernel", "version": "2"}

    await until(retagged, serf.tail)
    await serf.command("tags", "-set", "colour=red")
    await until(lambda: {"colour": "red"} in [dict(member.tags) for member in ours.membership.members()], serf.tail)

    await serf.command("event", "from-go", "payload")
    await until(lambda: ours.user_events() == [("from-go", b"payload")], serf.tail)
    await ours.membership.send_user_event("from-kernel", b"\x00\xff")
    await until(lambda: "user-event: from-kernel" in serf.tail(), serf.tail)
    assert not [line for line in serf.tail().splitlines() if "[ERR]" in line or "[WARN]" in line]


async def test_sealed_gossip_is_framed_as_memberlists(tmp_path: Path) -> None:
    key = bytes(range(32))
    serf = SerfAgent("go-serf", tmp_path / "serf.log", f"-encrypt={base64.b64encode(key).decode()}")
    ours, outsider = OurAgent("kernel", AesGcmCipher([key])), OurAgent("outsider")
    try:
        await serf.start()
        await ours.membership.start()
        await outsider.membership.start()
        await join(serf, ours)
        await serf.command("event", "from-go", "payload")
        await until(lambda: ours.user_events() == [("from-go", b"payload")], serf.tail)
        await ours.membership.send_user_event("from-kernel", b"")
        await until(lambda: "user-event: from-kernel" in serf.tail(), serf.tail)
        with pytest.raises(MembershipError):
            await outsider.membership.join([serf.address])
        assert "packets_refused" not in ours.membership.stats()
    finally:
        await outsider.stop()
        await ours.stop()
        await serf.stop()


async def test_serf_joins_us_and_reaches_us(serf: SerfAgent, ours: OurAgent) -> None:
    await serf.command("join", str(ours.address))
    await until(lambda: ours.status("go-serf") is MemberStatus.ALIVE, serf.tail)
    # `reachability` sends the query `_serf_ping` and counts who acknowledges it.
    answer = await serf.command("reachability")
    assert "2 of 2" in answer or "Successfully contacted all live nodes" in answer, answer


async def test_a_leave_is_left_for_both(serf: SerfAgent, ours: OurAgent) -> None:
    await join(serf, ours)
    await ours.membership.leave()

    async def left() -> bool:
        return (await serf.statuses())["kernel"] == "left"

    await until(left, serf.tail)


async def test_serfs_leave_is_left_for_us(serf: SerfAgent, ours: OurAgent) -> None:
    await join(serf, ours)
    await serf.command("leave")
    await until(lambda: ours.status("go-serf") is MemberStatus.LEFT, serf.tail)


async def test_a_killed_agent_is_failed_for_both(serf: SerfAgent, ours: OurAgent, tmp_path: Path) -> None:
    await join(serf, ours)
    second = SerfAgent("go-second", tmp_path / "second.log")
    try:
        await second.start()
        await second.command("join", str(ours.address))
        await until(lambda: ours.status("go-second") is MemberStatus.ALIVE, second.tail)
    finally:
        await second.stop()
    await until(lambda: ours.status("go-second") is MemberStatus.FAILED, serf.tail)
    await ours.membership.force_leave("go-second")
    await until(lambda: ours.status("go-second") is MemberStatus.LEFT, serf.tail)

    async def forced_there() -> bool:
        return (await serf.statuses()).get("go-second") == "left"

    await until(forced_there, serf.tail)
    await ours.stop()

    async def failed() -> bool:
        return (await serf.statuses())["kernel"] == "failed"

    await until(failed, serf.tail)


async def test_who_comes_back_is_alive_for_both(serf: SerfAgent, ours: OurAgent) -> None:
    await join(serf, ours)
    await serf.stop()
    await until(lambda: ours.status("go-serf") is MemberStatus.FAILED, serf.tail)
    await serf.start()
    await serf.command("join", str(ours.address))

    async def whole() -> bool:
        return await serf.statuses() == {"go-serf": "alive", "kernel": "alive"}

    await until(whole, serf.tail)
    await until(lambda: ours.status("go-serf") is MemberStatus.ALIVE, serf.tail)
    await ours.stop()

    async def failed() -> bool:
        return (await serf.statuses())["kernel"] == "failed"

    await until(failed, serf.tail)
    again = OurAgent("kernel", address=ours.address)
    try:
        await again.membership.start()
        await again.membership.join([serf.address])
        await until(whole, serf.tail)
        await serf.command("event", "after", "all")
        await until(lambda: again.user_events() == [("after", b"all")], serf.tail)
    finally:
        await again.stop()
