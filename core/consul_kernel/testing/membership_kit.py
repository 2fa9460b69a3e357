"""Checks that every membership passes, by the numbered clauses of docs/contracts/membership.md.

Each check is a coroutine function of one `PoolWorld`: hosts on an in-memory network, in virtual time. A plugin's
suite subclasses `MembershipContractTests` and gives it a fixture `make_membership`; other test runners call
`run_check`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from consul_kernel.contracts.errors import MembershipError, PluginStartError
from consul_kernel.contracts.membership import GossipEvent, Member, MemberEvent, MemberEventKind, MemberStatus
from consul_kernel.contracts.transport import Address

from .clauses import ClauseError, require
from .membership_world import GOSSIP_PORT, Agent, KeyedCipher, MakeMembership, PoolWorld
from .memory_network import LinkQuality
from .virtual_time import run_virtual


async def expect_membership_error(operation: Awaitable[object], clause: str) -> None:
    """The operation must fail with MembershipError."""
    try:
        await operation
    except MembershipError:
        return
    raise ClauseError(clause)


# --- 1: start ---


async def check_1_1_starts_as_a_pool_of_one(world: PoolWorld) -> None:
    """1.1: after `start` the agent is its own only member, alive, and has reported its own join."""
    agent = await world.add("a1", tags={"role": "x"})
    own = agent.membership.local_member
    await world.until(lambda: agent.kinds("a1") == [MemberEventKind.JOIN], "1.1: its own join event")
    require(list(agent.membership.members()) == [own], "1.1: members() is the agent alone")
    require(own.status is MemberStatus.ALIVE and own.name == "a1", "1.1: itself, alive")
    require(own.address == agent.address and dict(own.tags) == {"role": "x"}, "1.1: its address and tags")


async def check_1_2_taken_address_is_a_start_error(world: PoolWorld) -> None:
    """1.2: `start` raises PluginStartError when the address cannot be bound."""
    agent = await world.add("a1")
    try:
        await world.add("a2", host=agent.host)
    except PluginStartError:
        return
    raise ClauseError("1.2: two agents share one address")


# --- 2: join ---


async def check_2_1_join_shows_both_to_each_other(world: PoolWorld) -> None:
    """2.1: after a join both list each other, with tags, and both have reported it."""
    a, b = await world.add("a", tags={"dc": "one"}), await world.add("b", tags={"dc": "two"})
    require(await b.membership.join([a.address]) == 1, "2.1: one address answered")
    await world.until_status([a, b], "a", MemberStatus.ALIVE, "2.1: a is alive for both")
    await world.until_status([a, b], "b", MemberStatus.ALIVE, "2.1: b is alive for both")
    require(dict(a.find("b").tags) == {"dc": "two"}, "2.1: b's tags at a")
    require(dict(b.find("a").tags) == {"dc": "one"}, "2.1: a's tags at b")
    require(a.kinds("b") == [MemberEventKind.JOIN] == b.kinds("a"), "2.1: one join event each")


async def check_2_2_joining_one_finds_all(world: PoolWorld) -> None:
    """2.2: whoever joins one member of a pool gets to know all, and all get to know it."""
    agents = await world.pool(6)
    for agent in agents:
        require(set(agent.statuses().values()) == {MemberStatus.ALIVE}, "2.2: all alive")


async def check_2_3_join_counts_answers(world: PoolWorld) -> None:
    """2.3: `join` returns how many answered, and raises MembershipError when none did."""
    a, b = await world.add("a"), await world.add("b")
    nobody = Address("10.9.9.9", GOSSIP_PORT)
    require(await b.membership.join([nobody, a.address]) == 1, "2.3: one of two answered")
    await expect_membership_error(a.membership.join([nobody]), "2.3: a join that nobody answered returned")
    require(a.statuses() == {"a": MemberStatus.ALIVE, "b": MemberStatus.ALIVE}, "2.3: still a member")


async def check_2_4_refused_member_stays_unknown(world: PoolWorld) -> None:
    """2.4: a member that `accept` refuses is not taken in, neither by a join nor through others."""

    def accept(member: Member) -> str | None:
        return "no strangers" if member.tags.get("dc") == "strange" else None

    a, b = await world.add("a", accept=accept), await world.add("b")
    stranger = await world.add("s", tags={"dc": "strange"})
    await b.membership.join([a.address])
    await stranger.membership.join([a.address])
    await stranger.membership.join([b.address])
    await world.until_status([b, stranger], "s", MemberStatus.ALIVE, "2.4: who accepts it knows it")
    await asyncio.sleep(60)
    require(set(a.statuses()) == {"a", "b"}, "2.4: the refused member is listed")
    require(a.kinds("s") == [], "2.4: the refused member was reported")


# --- 3: failure ---


async def check_3_1_crash_is_failed_everywhere(world: PoolWorld) -> None:
    """3.1: a member that falls silent becomes failed at everyone, once, and stays listed."""
    agents = await world.pool(5)
    await world.crash(agents[4])
    rest = agents[:4]
    await world.until_status(rest, "a5", MemberStatus.FAILED, "3.1: failed everywhere")
    for agent in rest:
        require(agent.kinds("a5") == [MemberEventKind.JOIN, MemberEventKind.FAILED], "3.1: join, then failed")
        others = {name for name, status in agent.statuses().items() if status is MemberStatus.ALIVE}
        require(others == {"a1", "a2", "a3", "a4"}, "3.1: nobody else is failed")


async def check_3_2_restarted_member_is_alive_again(world: PoolWorld) -> None:
    """3.2: an agent that comes back under its name and address is alive at everyone again."""
    agents = await world.pool(4)
    await world.crash(agents[3])
    await world.until_status(agents[:3], "a4", MemberStatus.FAILED, "3.2: failed first")
    back = await world.add("a4", host=agents[3].host, tags={"life": "2"})
    await back.membership.join([agents[0].address])
    await world.until_status([*agents[:3], back], "a4", MemberStatus.ALIVE, "3.2: alive again")
    await world.until(
        lambda: all(dict(agent.find("a4").tags) == {"life": "2"} for agent in agents[:3]), "3.2: with its new tags"
    )
    require(agents[0].kinds("a4").count(MemberEventKind.JOIN) == 2, "3.2: a second join event")


async def check_3_3_partition_heals_by_itself(world: PoolWorld) -> None:
    """3.3: when a partition ends, members find each other again without being told to join."""
    agents = await world.pool(4)
    world.network.isolate(agents[3].host)
    await world.until_status(agents[:3], "a4", MemberStatus.FAILED, "3.3: failed behind the partition")
    world.network.heal()
    for agent in agents:
        await world.until_status(agents, agent.name, MemberStatus.ALIVE, "3.3: alive after the partition")


async def check_3_4_lossy_network_fails_nobody_for_good(world: PoolWorld) -> None:
    """3.4: lost, repeated and reordered packets do not leave a live member failed."""
    agents = await world.pool(6)
    world.network.set_quality(LinkQuality(loss_rate=0.2, duplicate_rate=0.1, reorder_rate=0.1))
    await asyncio.sleep(60)
    world.network.set_quality(LinkQuality())
    for agent in agents:
        await world.until_status(agents, agent.name, MemberStatus.ALIVE, "3.4: alive")


# --- 4: leave ---


async def check_4_1_leave_is_left_not_failed(world: PoolWorld) -> None:
    """4.1: a member that leaves is left at everyone and was never failed, also once its agent is gone."""
    agents = await world.pool(4)
    await agents[3].membership.leave()
    require(agents[3].statuses()["a4"] is MemberStatus.LEFT, "4.1: it sees itself as left")
    await agents[3].membership.aclose()
    await world.until_status(agents[:3], "a4", MemberStatus.LEFT, "4.1: left everywhere")
    await asyncio.sleep(30)
    for agent in agents[:3]:
        require(agent.kinds("a4") == [MemberEventKind.JOIN, MemberEventKind.LEAVE], "4.1: join, then leave")


async def check_4_2_leave_alone_is_short(world: PoolWorld) -> None:
    """4.2: `leave` is bounded, and may be called again."""
    agent = await world.add("a")
    async with asyncio.timeout(60):
        await agent.membership.leave()
        await agent.membership.leave()


async def check_4_3_force_leave_turns_failed_into_left(world: PoolWorld) -> None:
    """4.3: `force_leave` makes a failed member left at everyone; an unknown name raises MembershipError."""
    agents = await world.pool(4)
    await world.crash(agents[3])
    await world.until_status(agents[:3], "a4", MemberStatus.FAILED, "4.3: failed first")
    await agents[0].membership.force_leave("a4")
    await world.until_status(agents[:3], "a4", MemberStatus.LEFT, "4.3: left everywhere")
    await expect_membership_error(agents[0].membership.force_leave("nobody"), "4.3: an unknown name")


async def check_4_4_prune_forgets(world: PoolWorld) -> None:
    """4.4: `force_leave` with `prune` removes the member at everyone, with a reap event."""
    agents = await world.pool(3)
    await world.crash(agents[2])
    await world.until_status(agents[:2], "a3", MemberStatus.FAILED, "4.4: failed first")
    await agents[0].membership.force_leave("a3", prune=True)
    await world.until(lambda: all("a3" not in agent.statuses() for agent in agents[:2]), "4.4: forgotten")
    for agent in agents[:2]:
        require(agent.kinds("a3")[-1] is MemberEventKind.REAP, "4.4: a reap event")


# --- 5: tags ---


async def check_5_1_tags_reach_everyone(world: PoolWorld) -> None:
    """5.1: `set_tags` replaces all tags at everyone, this agent included, with an update event."""
    agents = await world.pool(4)
    before = agents[0].membership.local_member
    await agents[0].membership.set_tags({"version": "2"})
    await world.until(
        lambda: all(dict(agent.find("a1").tags) == {"version": "2"} for agent in agents), "5.1: new tags everywhere"
    )
    for agent in agents:
        require(agent.kinds("a1")[-1] is MemberEventKind.UPDATE, "5.1: an update event")
    require(dict(before.tags) == {}, "5.1: a member once handed out does not change")


async def check_5_2_tags_too_large_are_refused(world: PoolWorld) -> None:
    """5.2: tags that do not fit raise MembershipError and change nothing."""
    agent = await world.add("a", tags={"kept": "yes"})
    await expect_membership_error(agent.membership.set_tags({"long": "x" * 100_000}), "5.2: 100,000 bytes of tags")
    require(dict(agent.membership.local_member.tags) == {"kept": "yes"}, "5.2: the tags changed")


# --- 6: user events ---


async def check_6_1_user_event_reaches_everyone_once(world: PoolWorld) -> None:
    """6.1: a user event is delivered exactly once to everyone, the sender included."""
    agents = await world.pool(6)
    world.network.set_quality(LinkQuality(loss_rate=0.1, duplicate_rate=0.3, reorder_rate=0.2))
    sent = [(f"deploy-{number}", bytes((number, 0, 255))) for number in range(5)]
    for number, (name, payload) in enumerate(sent):
        await agents[number % 6].membership.send_user_event(name, payload)
    await world.until(
        lambda: all(sorted(agent.user_events()) == sent for agent in agents), "6.1: each event once, everywhere"
    )
    await asyncio.sleep(60)
    for agent in agents:
        require(sorted(agent.user_events()) == sent, "6.1: an event was delivered again")


async def check_6_2_user_event_too_large_is_refused(world: PoolWorld) -> None:
    """6.2: an event that is too large raises MembershipError and reaches nobody."""
    agent = await world.add("a")
    await expect_membership_error(agent.membership.send_user_event("big", bytes(100_000)), "6.2: 100,000 bytes")
    await asyncio.sleep(5)
    require(agent.user_events() == [], "6.2: it was delivered")


# --- 7: events and looks ---


async def check_7_1_events_come_after_the_fact(world: PoolWorld) -> None:
    """7.1: when `on_event` is called, `members()` already shows the change."""
    seen: list[bool] = []
    agents: list[Agent] = []

    def look(event: GossipEvent) -> None:
        if isinstance(event, MemberEvent) and agents:
            seen.append(agents[0].statuses().get(event.member.name) is event.member.status)

    agents.append(await world.add("a", on_event=look))
    other = await world.add("b")
    await other.membership.join([agents[0].address])
    await world.until(lambda: len(seen) >= 1, "7.1: a join event")
    require(all(seen), "7.1: members() lags behind the event")


async def check_7_2_stats_have_serfs_names(world: PoolWorld) -> None:
    """7.2: `stats` has at least members, failed, left, health_score, event_time and member_time, as numbers."""
    agents = await world.pool(2)
    stats = agents[0].membership.stats()
    for name in ("members", "failed", "left", "health_score", "event_time", "member_time"):
        require(stats.get(name, "").isdigit(), f"7.2: {name} is missing or no number")
    require(stats["members"] == "2", "7.2: members")


# --- 8: end ---


async def check_8_1_aclose_is_silent_and_repeatable(world: PoolWorld) -> None:
    """8.1: `aclose` stops at once, may be repeated, frees the address, and tells nobody: others see a failure."""
    agents = await world.pool(3)
    await agents[2].membership.aclose()
    await agents[2].membership.aclose()
    await world.until_status(agents[:2], "a3", MemberStatus.FAILED, "8.1: failed, not left")
    again = await world.add("a3", host=agents[2].host)
    require(again.statuses() == {"a3": MemberStatus.ALIVE}, "8.1: the address is free again")


# --- 9: strangers ---


async def check_9_1_garbage_harms_nobody(world: PoolWorld) -> None:
    """9.1: whatever packets and streams a stranger sends, the pool goes on."""
    agents = await world.pool(3)
    rng = random.Random(9)
    stranger = world.network.transport("10.8.8.8")
    endpoint = await stranger.open_packets(Address("10.8.8.8", 0), lambda packet, source: None)
    for _ in range(300):
        endpoint.send(rng.randbytes(rng.randrange(0, 200)), agents[0].address)
        endpoint.send(bytes((rng.randrange(14),)) + rng.randbytes(rng.randrange(0, 60)), agents[0].address)
    for _ in range(30):
        stream = await stranger.dial(agents[0].address, timeout_ms=1000)
        stream.write(bytes((rng.randrange(14),)) + rng.randbytes(rng.randrange(0, 60)))
        stream.close_write()
    await agents[1].membership.send_user_event("still-here", b"")
    await world.until(lambda: ("still-here", b"") in agents[0].user_events(), "9.1: still reachable")
    await asyncio.sleep(30)
    for agent in agents:
        alive = {name for name, status in agent.statuses().items() if status is MemberStatus.ALIVE}
        require({"a1", "a2", "a3"} <= alive, "9.1: everyone is still alive")


# --- 10: cipher ---


async def check_10_1_only_holders_of_the_key_get_in(world: PoolWorld) -> None:
    """10.1: with a cipher, agents with the key make a pool; others, with another key or none, stay outside."""
    a, b = await world.add("a", cipher=KeyedCipher(b"k")), await world.add("b", cipher=KeyedCipher(b"k"))
    require(await b.membership.join([a.address]) == 1, "10.1: the same key joins")
    await a.membership.send_user_event("sealed", b"x")
    await world.until(lambda: b.user_events() == [("sealed", b"x")], "10.1: gossip between holders of the key")
    for name, cipher in (("plain", None), ("other", KeyedCipher(b"other"))):
        outsider = await world.add(name, cipher=cipher)
        await expect_membership_error(outsider.membership.join([a.address]), f"10.1: {name} got in")
        await expect_membership_error(a.membership.join([outsider.address]), f"10.1: {name} was joined")
    await asyncio.sleep(30)
    require(set(a.statuses()) == {"a", "b"} == set(b.statuses()), "10.1: only holders of the key are listed")


Check = Callable[[PoolWorld], Coroutine[Any, Any, None]]


def run_check(check: Check, make_membership: MakeMembership) -> None:
    """Run one check in virtual time."""

    async def run() -> None:
        world = PoolWorld(make_membership)
        try:
            await check(world)
        finally:
            await world.aclose()

    run_virtual(run())


class MembershipContractTests:
    """Subclass this, and give it a fixture `make_membership` that returns a `MakeMembership`."""

    def test_1_1(self, make_membership: MakeMembership) -> None:
        run_check(check_1_1_starts_as_a_pool_of_one, make_membership)

    def test_1_2(self, make_membership: MakeMembership) -> None:
        run_check(check_1_2_taken_address_is_a_start_error, make_membership)

    def test_2_1(self, make_membership: MakeMembership) -> None:
        run_check(check_2_1_join_shows_both_to_each_other, make_membership)

    def test_2_2(self, make_membership: MakeMembership) -> None:
        run_check(check_2_2_joining_one_finds_all, make_membership)

    def test_2_3(self, make_membership: MakeMembership) -> None:
        run_check(check_2_3_join_counts_answers, make_membership)

    def test_2_4(self, make_membership: MakeMembership) -> None:
        run_check(check_2_4_refused_member_stays_unknown, make_membership)

    def test_3_1(self, make_membership: MakeMembership) -> None:
        run_check(check_3_1_crash_is_failed_everywhere, make_membership)

    def test_3_2(self, make_membership: MakeMembership) -> None:
        run_check(check_3_2_restarted_member_is_alive_again, make_membership)

    def test_3_3(self, make_membership: MakeMembership) -> None:
        run_check(check_3_3_partition_heals_by_itself, make_membership)

    def test_3_4(self, make_membership: MakeMembership) -> None:
        run_check(check_3_4_lossy_network_fails_nobody_for_good, make_membership)

    def test_4_1(self, make_membership: MakeMembership) -> None:
        run_check(check_4_1_leave_is_left_not_failed, make_membership)

    def test_4_2(self, make_membership: MakeMembership) -> None:
        run_check(check_4_2_leave_alone_is_short, make_membership)

    def test_4_3(self, make_membership: MakeMembership) -> None:
        run_check(check_4_3_force_leave_turns_failed_into_left, make_membership)

    def test_4_4(self, make_membership: MakeMembership) -> None:
        run_check(check_4_4_prune_forgets, make_membership)

    def test_5_1(self, make_membership: MakeMembership) -> None:
        run_check(check_5_1_tags_reach_everyone, make_membership)

    def test_5_2(self, make_membership: MakeMembership) -> None:
        run_check(check_5_2_tags_too_large_are_refused, make_membership)

    def test_6_1(self, make_membership: MakeMembership) -> None:
        run_check(check_6_1_user_event_reaches_everyone_once, make_membership)

    def test_6_2(self, make_membership: MakeMembership) -> None:
        run_check(check_6_2_user_event_too_large_is_refused, make_membership)

    def test_7_1(self, make_membership: MakeMembership) -> None:
        run_check(check_7_1_events_come_after_the_fact, make_membership)

    def test_7_2(self, make_membership: MakeMembership) -> None:
        run_check(check_7_2_stats_have_serfs_names, make_membership)

    def test_8_1(self, make_membership: MakeMembership) -> None:
        run_check(check_8_1_aclose_is_silent_and_repeatable, make_membership)

    def test_9_1(self, make_membership: MakeMembership) -> None:
        run_check(check_9_1_garbage_harms_nobody, make_membership)

    def test_10_1(self, make_membership: MakeMembership) -> None:
        run_check(check_10_1_only_holders_of_the_key_get_in, make_membership)
