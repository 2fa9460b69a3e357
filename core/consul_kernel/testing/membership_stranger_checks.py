"""The membership contract's sections 9 and 10: who may send what he likes, and does not get in."""

from __future__ import annotations

import asyncio
import random

from consul_kernel.contracts.membership import MemberEventKind, MemberStatus
from consul_kernel.contracts.transport import Address

from .clauses import require
from .membership_world import Agent, Check, KeyedCipher, PoolWorld, expect_membership_error

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


async def check_10_2_pool_is_sealed_agent_by_agent(world: PoolWorld) -> None:
    """10.2: keys first, then sealing, then refusing: at every step all members hear each other, and none fails."""
    agents = await world.pool(4)
    for incoming, outgoing in ((False, False), (False, True), (True, True)):
        for number, old in enumerate(agents):
            await old.membership.aclose()
            world.agents.remove(old)
            agents[number] = new = await world.add(
                old.name,
                host=old.host,
                cipher=KeyedCipher(b"k"),
                verify_incoming=incoming,
                verify_outgoing=outgoing,
            )
            await new.membership.join([agents[number - 1].address])
            await _all_hear_each_other(world, agents, f"{incoming}-{outgoing}-{number}")
    outsider = await world.add("plain")
    await expect_membership_error(outsider.membership.join([agents[0].address]), "10.2: plain got in at the end")


async def _all_hear_each_other(world: PoolWorld, agents: list[Agent], event: str) -> None:
    for agent in agents:
        await agent.membership.send_user_event(f"{event}-{agent.name}", b"")
    for name in [agent.name for agent in agents]:
        await world.until_status(agents, name, MemberStatus.ALIVE, f"10.2: {name} at step {event}")
        for agent in agents:
            text = f"{event}-{name}"
            await world.until(lambda: (text, b"") in agent.user_events(), f"10.2: {agent.name} hears {text}")  # noqa: B023
            require(MemberEventKind.FAILED not in agent.kinds(name), f"10.2: {name} failed at step {event}")


STRANGER_CHECKS: tuple[Check, ...] = (
    check_9_1_garbage_harms_nobody,
    check_10_1_only_holders_of_the_key_get_in,
    check_10_2_pool_is_sealed_agent_by_agent,
)
