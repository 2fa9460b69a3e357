"""Checks that every membership passes, by the numbered clauses of docs/contracts/membership.md.

Each check is a coroutine function of one `PoolWorld`: hosts on an in-memory network, in virtual time. A plugin's
suite subclasses `MembershipContractTests`; other test runners call `run_check` for each of `checks_of(plugin)`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from consul_kernel.contracts.errors import MembershipError, PluginStartError
from consul_kernel.contracts.membership import (
    GossipEvent,
    Member,
    MemberEvent,
    MemberEventKind,
    MembershipPlugin,
    MemberStatus,
)
from consul_kernel.contracts.membership_capabilities import MembershipCapability
from consul_kernel.contracts.transport import Address

from .clauses import ClauseError, require
from .membership_coordinate_checks import COORDINATE_CHECKS
from .membership_keyring_checks import KEYRING_CHECKS
from .membership_query_checks import QUERY_CHECKS
from .membership_stranger_checks import STRANGER_CHECKS
from .membership_world import (
    GOSSIP_PORT,
    Agent,
    Check,
    MakeMembership,
    PoolWorld,
    expect_membership_error,
)
from .memory_network import LinkQuality
from .virtual_time import run_virtual

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


async def check_2_4_list_is_refused_as_a_whole(world: PoolWorld) -> None:
    """2.4: a join whose list `accept_list` refuses fails, and its error says why."""

    def accept_list(members: Sequence[Member]) -> str | None:
        ids = [member.tags["id"] for member in members]
        return None if len(set(ids)) == len(ids) else "two of one id"

    a, b = await world.add("a", tags={"id": "1"}), await world.add("b", tags={"id": "1"})
    await b.membership.join([a.address])
    await world.until_status([a, b], "b", MemberStatus.ALIVE, "2.4: each is alone in its list")
    joiner = await world.add("c", tags={"id": "2"}, accept_list=accept_list)
    try:
        await joiner.membership.join([a.address])
    except MembershipError as error:
        require("two of one id" in str(error), "2.4: the error does not say why")
    else:
        raise ClauseError("2.4: a join that was refused returned")
    require(set(joiner.statuses()) == {"c"}, "2.4: a member of the refused list was taken in with it")


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


CHECKS: tuple[Check, ...] = (
    check_1_1_starts_as_a_pool_of_one,
    check_1_2_taken_address_is_a_start_error,
    check_2_1_join_shows_both_to_each_other,
    check_2_2_joining_one_finds_all,
    check_2_3_join_counts_answers,
    check_2_4_refused_member_stays_unknown,
    check_2_4_list_is_refused_as_a_whole,
    check_3_1_crash_is_failed_everywhere,
    check_3_2_restarted_member_is_alive_again,
    check_3_3_partition_heals_by_itself,
    check_3_4_lossy_network_fails_nobody_for_good,
    check_4_1_leave_is_left_not_failed,
    check_4_2_leave_alone_is_short,
    check_4_3_force_leave_turns_failed_into_left,
    check_4_4_prune_forgets,
    check_5_1_tags_reach_everyone,
    check_5_2_tags_too_large_are_refused,
    check_6_1_user_event_reaches_everyone_once,
    check_6_2_user_event_too_large_is_refused,
    check_7_1_events_come_after_the_fact,
    check_7_2_stats_have_serfs_names,
    check_8_1_aclose_is_silent_and_repeatable,
    *STRANGER_CHECKS,
)
"""What every membership must pass, in the order of the clauses."""

CAPABILITY_CHECKS: Mapping[MembershipCapability, tuple[Check, ...]] = {
    MembershipCapability.QUERIES: QUERY_CHECKS,
    MembershipCapability.KEYRING: KEYRING_CHECKS,
    MembershipCapability.COORDINATES: COORDINATE_CHECKS,
}
"""What a membership must pass besides, by the names in its descriptor's `capabilities`."""


def checks_of(plugin: MembershipPlugin) -> tuple[Check, ...]:
    """All checks for one plugin. Raises ValueError for a capability that the contract does not list."""
    named = sorted(MembershipCapability(name) for name in plugin.capabilities)
    return CHECKS + tuple(check for capability in named for check in CAPABILITY_CHECKS[capability])


def run_check(check: Check, make_membership: MakeMembership) -> None:
    """Run one check in virtual time."""

    async def run() -> None:
        world = PoolWorld(make_membership)
        try:
            await check(world)
        finally:
            await world.aclose()

    run_virtual(run())


def _as_test(check: Check) -> Callable[[MembershipContractTests, MakeMembership], None]:
    def test(self: MembershipContractTests, make_membership: MakeMembership) -> None:
        run_check(check, make_membership)

    test.__doc__ = check.__doc__
    return test


class MembershipContractTests:
    """Subclass this, name the plugin's descriptor, and give it a fixture `make_membership`, a `MakeMembership`.

    There is one test for each check: `test_1_1_starts_as_a_pool_of_one` and so on.
    """

    plugin: ClassVar[MembershipPlugin]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for check in checks_of(cls.plugin):
            setattr(cls, f"test_{getattr(check, '__name__', '').removeprefix('check_')}", _as_test(check))
