"""The snapshot of members: Serf's format, and rejoining without any configured address."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from pathlib import Path

import pytest

from consul_kernel.contracts.membership import (
    GossipEvent,
    Member,
    MemberEvent,
    MemberEventKind,
    MembershipContext,
    MemberStatus,
    UserEvent,
)
from consul_kernel.contracts.transport import Address
from consul_kernel.testing.membership_world import FAST_TUNING
from consul_kernel.testing.memory_network import MemoryNetwork
from consul_kernel.testing.virtual_time import run_virtual, virtual_now_ms
from consul_kernel_swim import SwimConfig, SwimMembership, snapshot
from consul_kernel_swim.snapshot import Recalled, SnapshotLog, read_snapshot
from consul_kernel_swim.snapshot_keeper import SnapshotKeeper

RECORDED = """\
alive: va 127.0.0.1:43183
alive: py1 127.0.0.1:45005
clock: 1
alive: py2 127.0.0.1:38863
clock: 2
event-clock: 1
query-clock: 13
clock: 4
event-clock: 30
not-alive: py2
not-alive: py2
alive: vb 127.0.0.1:39749
clock: 6
not-alive: vb
"""


def event(kind: MemberEventKind, name: str, port: int = 1) -> MemberEvent:
    return MemberEvent(kind, Member(name=name, address=Address("::1", port), tags={}, status=MemberStatus.ALIVE))


def test_recorded_serf_snapshot_is_read(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    path.write_text(RECORDED + "# a comment\ncoordinate: {}\nalive: half 127.0.\nclock: x\n")
    recalled = read_snapshot(path)
    assert recalled.alive == {"va": Address("127.0.0.1", 43183), "py1": Address("127.0.0.1", 45005)}
    assert recalled.clocks == (6, 30, 13)
    again = Recalled()
    for line in recalled.lines():
        again.apply(line)
    assert again == recalled


def test_leave_forgets_all() -> None:
    recalled = Recalled()
    for line in [*RECORDED.splitlines(), "leave"]:
        recalled.apply(line)
    assert recalled == Recalled()


def test_leave_is_kept_for_who_rejoins_after_it(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    path.write_text(RECORDED + "leave\n")
    assert read_snapshot(path) == Recalled()
    assert set(read_snapshot(path, keeps_left=True).alive) == {"va", "py1"}


@pytest.mark.parametrize(
    "torn", ["alive: vc 127.0.0.1:4", "not-alive: va", "clock: 9", "lea", "leave", "alive: \ufffd"]
)
def test_torn_last_line_is_dropped(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "snapshot"
    path.write_text(RECORDED + torn)
    whole = tmp_path / "whole"
    whole.write_text(RECORDED)
    assert read_snapshot(path) == read_snapshot(whole)


def test_snapshot_that_was_torn_is_whole_after_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    path.write_text(RECORDED + "alive: torn 127.0.0.1:4")
    log = SnapshotLog(path, read_snapshot(path), lambda: None)
    log.note_event(event(MemberEventKind.JOIN, "new", 9))
    write = log.take()
    assert write is not None
    write()
    assert set(read_snapshot(path).alive) == {"va", "py1", "new"}
    assert path.read_text().endswith("\n")


@pytest.mark.parametrize("keeps_left", [False, True])
def test_leave_outlives_a_compaction(tmp_path: Path, keeps_left: bool) -> None:
    path = tmp_path / "snapshot"
    log = SnapshotLog(path, Recalled(keeps_left=keeps_left), lambda: None)
    log.note_event(event(MemberEventKind.JOIN, "a", 7))
    log.note_leave()
    write = log.take()
    assert write is not None
    write()
    assert read_snapshot(path) == Recalled()
    assert set(read_snapshot(path, keeps_left=True).alive) == ({"a"} if keeps_left else set())


def test_log_writes_serfs_lines(tmp_path: Path) -> None:
    path = tmp_path / "serf" / "local.snapshot"
    woken: list[int] = []
    log = SnapshotLog(path, Recalled(), lambda: woken.append(1))
    log.note_event(event(MemberEventKind.JOIN, "a", 7))
    log.note_event(event(MemberEventKind.JOIN, "forged\nleave", 7))
    first = log.take()
    assert first is not None
    first()
    assert path.read_text() == "alive: a [::1]:7\n"
    log.note_event(event(MemberEventKind.UPDATE, "a", 7))
    log.note_event(event(MemberEventKind.FAILED, "a", 7))
    log.note_clocks((3, 0, 0))
    log.note_clocks((3, 0, 0))
    second = log.take()
    assert second is not None
    second()
    assert path.read_text() == "alive: a [::1]:7\nnot-alive: a\nclock: 3\n"
    log.note_leave()
    log.note_event(event(MemberEventKind.JOIN, "late"))
    third = log.take()
    assert third is not None
    third()
    assert path.read_text().endswith("clock: 3\nleave\n")
    assert log.take() is None
    assert len(woken) == 4


def test_long_log_is_compacted(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    log = SnapshotLog(path, Recalled(), lambda: None)
    sizes = []
    for round_ in range(40):
        for number in range(200):
            log.note_event(event(MemberEventKind.JOIN, f"member-{number}", 1 + round_))
        write = log.take()
        assert write is not None
        write()
        sizes.append(path.stat().st_size)
    assert max(sizes) < 200_000
    assert len(read_snapshot(path).alive) == 200
    assert sizes != sorted(sizes)


class Life:
    """One life of an agent on the in-memory network."""

    def __init__(
        self, network: MemoryNetwork, name: str, host: str, path: Path | None, *, rejoins: bool = False
    ) -> None:
        self.events: list[GossipEvent] = []
        self.membership = SwimMembership(
            MembershipContext(
                node_name=name,
                bind=Address(host, 8301),
                advertise=Address(host, 8301),
                tags={},
                transport=network.transport(host),
                cipher=None,
                on_event=self.events.append,
                now_ms=virtual_now_ms,
                rng=random.Random(name),
                snapshot_path=path,
                rejoin_after_leave=rejoins,
                tuning=FAST_TUNING,
            ),
            SwimConfig(),
        )

    def alive(self) -> set[str]:
        return {member.name for member in self.membership.members() if member.status is MemberStatus.ALIVE}

    def user_events(self) -> list[str]:
        return [found.name for found in self.events if isinstance(found, UserEvent)]


async def until_alive(life: Life, names: set[str]) -> None:
    async with asyncio.timeout(120):
        while life.alive() != names:
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(("leaves", "rejoins"), [(False, False), (True, False), (True, True)])
def test_restarted_agent_rejoins_by_itself_unless_it_left(tmp_path: Path, leaves: bool, rejoins: bool) -> None:
    path = tmp_path / "serf" / "local.snapshot"

    async def run() -> None:
        network = MemoryNetwork(random.Random(3))
        stable = Life(network, "stable", "10.0.0.1", None)
        first = Life(network, "restarts", "10.0.0.2", path, rejoins=rejoins)
        await stable.membership.start()
        await first.membership.start()
        await first.membership.join([Address("10.0.0.1", 8301)])
        await stable.membership.send_user_event("before", b"")
        async with asyncio.timeout(60):
            while first.user_events() != ["before"]:
                await asyncio.sleep(0.1)
        if leaves:
            await first.membership.leave()
        await first.membership.aclose()
        second = Life(network, "restarts", "10.0.0.2", path, rejoins=rejoins)
        await second.membership.start()
        if leaves and not rejoins:
            await asyncio.sleep(60)
            assert second.alive() == {"restarts"}
        else:
            await until_alive(second, {"stable", "restarts"})
            await until_alive(stable, {"stable", "restarts"})
            await stable.membership.send_user_event("after", b"")
            async with asyncio.timeout(60):
                while "after" not in second.user_events():
                    await asyncio.sleep(0.1)
            assert second.user_events() == ["after"]
        await second.membership.aclose()
        await stable.membership.aclose()

    run_virtual(run())


def test_rejoin_is_tried_until_the_network_is_there(tmp_path: Path) -> None:
    path = tmp_path / "local.snapshot"
    path.write_text("alive: stable 10.0.0.1:8301\nalive: gone 10.0.0.9:8301\nalive: late 10.0.0.2:8301\n")

    async def run() -> None:
        network = MemoryNetwork(random.Random(3))
        late = Life(network, "late", "10.0.0.2", path)
        await late.membership.start()
        await asyncio.sleep(100)
        assert late.alive() == {"late"}
        stable = Life(network, "stable", "10.0.0.1", None)
        await stable.membership.start()
        await until_alive(late, {"stable", "late"})
        await late.membership.aclose()
        await stable.membership.aclose()

    run_virtual(run())


def test_snapshot_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")

    async def run() -> None:
        network = MemoryNetwork(random.Random(3))
        life = Life(network, "a", "10.0.0.1", tmp_path / "file" / "local.snapshot")
        await life.membership.start()
        await asyncio.sleep(5)
        assert life.alive() == {"a"}
        await life.membership.aclose()

    run_virtual(run())
    assert "cannot be written" in caplog.text


def test_end_while_a_write_is_under_way_comes_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "local.snapshot"
    begun, may_go_on = threading.Event(), threading.Event()
    replace = snapshot._replace

    def replace_slowly(path: Path, text: bytes) -> None:
        begun.set()
        assert may_go_on.wait(10)
        replace(path, text)

    monkeypatch.setattr(snapshot, "_replace", replace_slowly)

    async def run() -> None:
        keeper = await SnapshotKeeper.open(path, keeps_left=False)
        keeper.note(event(MemberEventKind.JOIN, "a"))
        assert await asyncio.to_thread(begun.wait, 10)
        keeper.note_leave()
        closing = asyncio.create_task(keeper.aclose())
        await asyncio.wait((closing,), timeout=0.1)
        assert not closing.done()
        may_go_on.set()
        await closing

    asyncio.run(run())
    assert path.read_text() == "alive: a [::1]:1\nleave\n"


def test_write_that_failed_is_repeated_until_it_succeeds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "local.snapshot"
    path.mkdir()  # in its place, so that nothing can be renamed to it

    async def run() -> None:
        keeper = await SnapshotKeeper.open(path, keeps_left=False)
        keeper.note(event(MemberEventKind.JOIN, "a"))
        for time in range(1, 11):
            await asyncio.sleep(10)
            keeper.note_clocks((time, 0, 0))
        await asyncio.sleep(10)
        path.rmdir()
        await asyncio.sleep(10)
        assert path.read_text() == "alive: a [::1]:1\nclock: 10\n"
        await keeper.aclose()

    caplog.set_level(logging.INFO, logger="consul_kernel.swim")
    run_virtual(run())
    assert caplog.text.count("cannot be written") == 1
    assert caplog.text.count("is written again") == 1
