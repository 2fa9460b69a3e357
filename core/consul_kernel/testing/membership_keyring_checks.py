"""The membership contract's section 12: operations on the keys of the whole pool."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from consul_kernel.contracts.membership import MemberStatus
from consul_kernel.contracts.membership_capabilities import KeyOperation, KeyringMembership, KeyringOutcome

from .clauses import ClauseError, require
from .membership_world import Agent, Check, KeyedCipher, PoolWorld
from .memory_network import LinkQuality

OLD, NEW, THIRD = (bytes([number]) * 32 for number in (1, 2, 3))


async def _operate(agent: Agent, operation: KeyOperation, key: bytes = b"") -> KeyringOutcome:
    membership = agent.membership
    if not isinstance(membership, KeyringMembership):
        raise ClauseError("12: the descriptor names the capability `keyring`, and there is no `operate_keyring`")
    return await membership.operate_keyring(operation, key)


async def _pool(world: PoolWorld, ciphers: Sequence[KeyedCipher | None]) -> list[Agent]:
    agents = [await world.add(f"a{number}", cipher=cipher) for number, cipher in enumerate(ciphers, 1)]
    for agent in agents[1:]:
        await agent.membership.join([agents[0].address])
    names = {agent.name for agent in agents}
    await world.until(lambda: all(set(agent.statuses()) == names for agent in agents), "2.2: everyone knows everyone")
    return agents


async def _everywhere(agent: Agent, operation: KeyOperation, key: bytes) -> None:
    """Repeat an operation, as an operator would, until every member has reported success."""
    for _ in range(20):
        if not (await _operate(agent, operation, key)).error:
            return
    raise ClauseError(f"12.2: {operation} is not carried out everywhere after 20 attempts")


async def check_12_1_each_ring_is_changed_and_counted(world: PoolWorld) -> None:
    """12.1: `install`, `use` and `remove` change every ring, this agent's included; `list` counts."""
    ciphers = [KeyedCipher(OLD), KeyedCipher(OLD, THIRD), KeyedCipher(OLD)]
    agents = await _pool(world, ciphers)
    listed = await _operate(agents[0], KeyOperation.LIST)
    require((listed.members, listed.responses, listed.error) == (3, 3, ""), "12.1: three members answer")
    require(dict(listed.keys) == {OLD: 3, THIRD: 1}, "12.1: on how many members each key is")
    require(dict(listed.primary_keys) == {OLD: 3}, "12.1: on how many members each key is primary")
    rings = (
        (KeyOperation.INSTALL, NEW, [[OLD, NEW], [OLD, THIRD, NEW], [OLD, NEW]]),
        (KeyOperation.INSTALL, NEW, [[OLD, NEW], [OLD, THIRD, NEW], [OLD, NEW]]),
        (KeyOperation.USE, NEW, [[NEW, OLD], [NEW, OLD, THIRD], [NEW, OLD]]),
        (KeyOperation.REMOVE, OLD, [[NEW], [NEW, THIRD], [NEW]]),
        (KeyOperation.REMOVE, THIRD, [[NEW], [NEW], [NEW]]),
        (KeyOperation.REMOVE, THIRD, [[NEW], [NEW], [NEW]]),
    )
    for operation, key, expected in rings:
        outcome = await _operate(agents[1], operation, key)
        require((outcome.failures, outcome.error) == (0, ""), f"12.1: {operation}: {outcome}")
        require([list(cipher.keys()) for cipher in ciphers] == expected, f"12.1: the rings after {operation}")
    listed = await _operate(agents[2], KeyOperation.LIST)
    require(dict(listed.keys) == {NEW: 3} == dict(listed.primary_keys), "12.1: the new key alone")


async def check_12_2_rotation_refuses_no_packet(world: PoolWorld) -> None:
    """12.2: while a pool talks, install, use and remove, each everywhere, refuse no packet and lose no member."""
    ciphers = [KeyedCipher(OLD) for _ in range(6)]
    agents = await _pool(world, ciphers)
    world.network.set_quality(LinkQuality(delay_ms_max=10, loss_rate=0.05, duplicate_rate=0.1, reorder_rate=0.2))
    traffic = _Traffic(agents)
    talking = asyncio.create_task(traffic.run())
    previous = OLD
    for number, key in enumerate((NEW, THIRD, OLD)):
        for operation, subject in (
            (KeyOperation.INSTALL, key),
            (KeyOperation.USE, key),
            (KeyOperation.REMOVE, previous),
        ):
            await _everywhere(agents[number], operation, subject)
        previous = key
    traffic.is_over = True
    await talking
    require(traffic.sent > 20, f"12.2: only {traffic.sent} events were sent meanwhile, this check shows nothing")
    require([cipher.refused for cipher in ciphers] == [0] * 6, "12.2: a packet or stream was refused")
    world.network.set_quality(LinkQuality())
    await world.until(
        lambda: all(set(agent.statuses().values()) == {MemberStatus.ALIVE} for agent in agents), "12.2: all are alive"
    )
    await world.until(
        lambda: all(len(agent.user_events()) == traffic.sent for agent in agents), "12.2: every event reached everybody"
    )


class _Traffic:
    """Events and changes of tags, from each agent in turn."""

    def __init__(self, agents: Sequence[Agent]) -> None:
        self._agents = agents
        self.sent = 0
        self.is_over = False

    async def run(self) -> None:
        while not self.is_over:
            agent = self._agents[self.sent % len(self._agents)]
            await agent.membership.send_user_event(f"event-{self.sent}", bytes(self.sent % 200))
            if self.sent % 5 == 0:
                await agent.membership.set_tags({"sent": str(self.sent)})
            self.sent += 1
            await asyncio.sleep(0.1)


async def check_12_2_no_key_is_used_that_somebody_lacks(world: PoolWorld) -> None:
    """12.2: where a member lacks the key to use, or seals with the key to remove, nobody is cut off from it."""
    ciphers = [KeyedCipher(OLD, NEW), KeyedCipher(OLD, NEW), KeyedCipher(OLD)]
    agents = await _pool(world, ciphers)
    outcome = await _operate(agents[0], KeyOperation.USE, NEW)
    require(outcome.failures == 1 and outcome.error == "1/3 nodes reported failure", f"12.2: {outcome}")
    await asyncio.sleep(30)
    ciphers[2].install(NEW)
    ciphers[2].use(NEW)
    outcome = await _operate(agents[1], KeyOperation.REMOVE, NEW)
    require(outcome.failures == 1 and outcome.error == "1/3 nodes reported failure", f"12.2: {outcome}")
    await asyncio.sleep(30)
    require([cipher.refused for cipher in ciphers] == [0] * 3, "12.2: a packet or stream was refused")
    for agent in agents:
        require(set(agent.statuses().values()) == {MemberStatus.ALIVE}, "12.2: somebody was cut off")


async def check_12_3_refusals_are_told_by_name(world: PoolWorld) -> None:
    """12.3: an unknown key, the primary key and a key of no legal length are refused, by name and without effect."""
    ciphers = [KeyedCipher(OLD), KeyedCipher(OLD), KeyedCipher(OLD)]
    agents = await _pool(world, ciphers)
    cases = (
        (KeyOperation.USE, NEW, "Requested key is not in the keyring"),
        (KeyOperation.REMOVE, OLD, "Removing the primary key is not allowed"),
        (KeyOperation.INSTALL, b"short", "key size must be 16, 24 or 32 bytes"),
        (KeyOperation.INSTALL, b"", "key size must be 16, 24 or 32 bytes"),
    )
    for operation, key, message in cases:
        outcome = await _operate(agents[0], operation, key)
        counted = (outcome.members, outcome.responses, outcome.failures)
        require(counted == (3, 3, 3), f"12.3: {operation}: {counted} members, responses, failures")
        require(outcome.error == "3/3 nodes reported failure", f"12.3: {operation}: {outcome.error!r}")
        require(dict(outcome.messages) == dict.fromkeys(("a1", "a2", "a3"), message), f"12.3: {outcome.messages}")
        require(all(list(cipher.keys()) == [OLD] for cipher in ciphers), f"12.3: {operation} changed a ring")


async def check_12_4_without_a_cipher_all_fail(world: PoolWorld) -> None:
    """12.4: without a cipher every member reports failure, to every operation."""
    agents = await _pool(world, [None, None])
    for operation in KeyOperation:
        outcome = await _operate(agents[0], operation, NEW)
        require((outcome.responses, outcome.failures) == (2, 2), f"12.4: {operation}: {outcome}")
        require(outcome.error == "2/2 nodes reported failure", f"12.4: {operation}: {outcome.error!r}")
        require(set(outcome.messages) == {"a1", "a2"}, f"12.4: {operation}: by name")


async def check_12_1_an_absent_answer_is_told(world: PoolWorld) -> None:
    """12.1: where a member does not answer in time, the outcome says how many did, and who did not."""
    agents = await _pool(world, [KeyedCipher(OLD) for _ in range(3)])
    world.network.isolate(agents[2].host)
    outcome = await _operate(agents[0], KeyOperation.INSTALL, NEW)
    require((outcome.members, outcome.responses, outcome.failures) == (3, 2, 0), f"12.1: {outcome}")
    require(outcome.error == "2/3 nodes reported success", f"12.1: {outcome.error!r}")
    require(set(outcome.messages) == {"a3"}, f"12.1: {outcome.messages}")


KEYRING_CHECKS: tuple[Check, ...] = (
    check_12_1_each_ring_is_changed_and_counted,
    check_12_1_an_absent_answer_is_told,
    check_12_2_rotation_refuses_no_packet,
    check_12_2_no_key_is_used_that_somebody_lacks,
    check_12_3_refusals_are_told_by_name,
    check_12_4_without_a_cipher_all_fail,
)
