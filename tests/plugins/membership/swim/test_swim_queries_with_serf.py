"""Queries and keys in pools of Debian's `serf` and this membership: who asks, who answers, who passes on.

Serf's profile `local` sends each message twice. In a pool of three that reaches everybody; in a pool of four it misses
somebody now and then, and there is no second way for queries: there the tests ask again, as an operator would.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from consul_kernel.contracts.cipher import Cipher
from consul_kernel.contracts.membership import MemberStatus
from consul_kernel.contracts.membership_capabilities import (
    IncomingQuery,
    KeyOperation,
    KeyringOutcome,
    QueryRequest,
)
from consul_kernel_aes_gcm.cipher import AesGcmCipher
from consul_kernel_swim import SwimMembership
from plugins.membership.swim.serf_process import SERF, OurAgent, SerfAgent, until

pytestmark = pytest.mark.skipif(SERF is None, reason="no `serf` binary on this machine")

GREETING = '-event-handler=query:greet=printf "go says %s" "$(cat)"'


def greet(query: IncomingQuery) -> bytes | None:
    return b"kernel says " + query.payload if query.name == "greet" else None


class Pool:
    """Agents of both kinds that all know each other."""

    def __init__(self, serfs: list[SerfAgent], ours: list[OurAgent]) -> None:
        self.serfs = serfs
        self.ours = ours
        self.names = {agent.name for agent in serfs} | {agent.name for agent in ours}

    async def is_whole(self) -> bool:
        """Whether everybody is alive for everybody."""
        views = [await serf.statuses() for serf in self.serfs]
        views += [{m.name: m.status.name.lower() for m in agent.membership.members()} for agent in self.ours]
        return all(view == dict.fromkeys(self.names, "alive") for view in views)

    def log(self) -> str:
        return "\n".join(serf.tail() for serf in self.serfs)

    def errors(self) -> list[str]:
        return [line for serf in self.serfs for line in serf.said().splitlines() if "[ERR]" in line]


@asynccontextmanager
async def pool(
    folder: Path, serfs: int, ours: int, *options: str, make_cipher: Callable[[], Cipher] | None = None
) -> AsyncIterator[Pool]:
    async with AsyncExitStack() as stack:
        go = [SerfAgent(f"go{number}", folder / f"go{number}.log", *options) for number in range(1, serfs + 1)]
        python = [
            OurAgent(
                f"py{number}", make_cipher and make_cipher(), tags={"role": f"kernel-{number}"}, answer_query=greet
            )
            for number in range(1, ours + 1)
        ]
        for stop in (*(agent.stop for agent in go), *(agent.stop for agent in python)):
            stack.push_async_callback(stop)
        await asyncio.gather(*(serf.start() for serf in go))
        for agent in python:
            await agent.membership.start()
            await agent.membership.join([go[0].address])
        for serf in go[1:]:
            await serf.command("join", str(python[0].address))
        made = Pool(go, python)
        await until(made.is_whole, made.log)
        yield made


async def ask(serf: SerfAgent, *arguments: str) -> tuple[set[str], dict[str, str]]:
    """`serf query`: who acknowledged, and the answers."""
    answer = json.loads(await serf.command("query", "-format=json", *arguments))
    return set(answer["Acks"] or ()), answer["Responses"] or {}


async def test_serf_asks_and_we_answer(tmp_path: Path) -> None:
    async with pool(tmp_path, 1, 2, GREETING) as agents:
        (serf,) = agents.serfs
        everybody = {"go1": "go says hi", "py1": "kernel says hi", "py2": "kernel says hi"}
        assert await ask(serf, "greet", "hi") == ({"go1", "py1", "py2"}, everybody)
        assert await ask(serf, "silence") == ({"go1", "py1", "py2"}, {})
        assert await ask(serf, "-no-ack", "-tag", "role=^kern.*[12]$", "greet", "x") == (
            set(),
            {"py1": "kernel says x", "py2": "kernel says x"},
        )
        assert await ask(serf, "-tag", "role=l-1", "-node=py1", "-node=py2", "-node=nobody", "greet") == (
            {"py1"},
            {"py1": "kernel says "},
        )
        assert "Successfully contacted all live nodes" in await serf.command("reachability")


async def test_we_ask_and_serf_answers(tmp_path: Path) -> None:
    async with pool(tmp_path, 2, 1, GREETING) as agents:
        ours = agents.ours[0].membership
        # A handler is a process to start, so the pool's own time may be too short for it.
        outcome = await ours.query(QueryRequest(name="greet", payload=b"hi", request_ack=True, timeout_ms=15_000))
        assert set(outcome.acks) == {"go1", "go2", "py1"}
        assert outcome.responses == {"go1": b"go says hi", "go2": b"go says hi", "py1": b"kernel says hi"}
        outcome = await ours.query(QueryRequest(name="greet", nodes=["go2"], timeout_ms=15_000))
        assert (outcome.acks, outcome.responses) == ((), {"go2": b"go says "})
        outcome = await ours.query(
            QueryRequest(name="greet", payload=b"x", tags={"colour": "bl(ue|ack)"}, timeout_ms=15_000, request_ack=True)
        )
        assert set(outcome.acks) == {"go1", "go2"} == set(outcome.responses)
        outcome = await ours.query(QueryRequest(name="_serf_ping", request_ack=True, timeout_ms=15_000))
        assert (set(outcome.acks), outcome.responses) == ({"go1", "go2", "py1"}, {})
        assert agents.errors() == []


async def test_responses_are_passed_on_by_both(tmp_path: Path) -> None:
    async with pool(tmp_path, 2, 2, GREETING) as agents:
        serf, ours = agents.serfs[0], agents.ours

        async def serf_hears_all() -> bool:
            acks, responses = await ask(serf, "-relay-factor=2", "greet", "hi")
            return acks == agents.names == set(responses)

        async def we_hear_all() -> bool:
            request = QueryRequest(name="greet", request_ack=True, relay_factor=2, timeout_ms=3_000)
            outcome = await ours[0].membership.query(request)
            return set(outcome.acks) == agents.names == set(outcome.responses)

        def passed_on() -> int:
            return sum(int(agent.membership.stats().get("query_relays_forwarded", "0")) for agent in ours)

        await until(serf_hears_all, agents.log)
        # Each of three answerers asks two of the others to pass on, by an acknowledgement and by an answer.
        assert passed_on() >= 2
        before = passed_on()
        await until(we_hear_all, agents.log)
        # A query ends with the last direct answer; those by way of others come a moment later.
        await until(lambda: passed_on() > before, agents.log)
        await until(lambda: any("Relaying response to addr" in serf.said() for serf in agents.serfs), agents.log)
        assert agents.errors() == []


def text(key: bytes) -> str:
    return base64.b64encode(key).decode()


async def test_a_sealed_pool_sees_events_queries_a_kill_a_return_and_a_leave(tmp_path: Path) -> None:
    key = bytes(range(32))
    async with pool(tmp_path, 1, 1, f"-encrypt={text(key)}", GREETING, make_cipher=lambda: AesGcmCipher([key])) as both:
        serf, ours = both.serfs[0], both.ours[0]
        await serf.command("event", "from-go", "payload")
        await until(lambda: ours.user_events() == [("from-go", b"payload")], both.log)
        await ours.membership.send_user_event("from-kernel", b"")
        await until(lambda: "user-event: from-kernel" in serf.said(), both.log)
        assert await ask(serf, "greet", "hi") == (both.names, {"go1": "go says hi", "py1": "kernel says hi"})
        outcome = await ours.membership.query(QueryRequest(name="greet", request_ack=True, timeout_ms=15_000))
        assert set(outcome.acks) == both.names == set(outcome.responses)
        await serf.stop()
        await until(lambda: ours.status("go1") is MemberStatus.FAILED, both.log)
        await serf.start()
        await serf.command("join", str(ours.address))
        await until(both.is_whole, both.log)
        await ours.membership.leave()

        async def left() -> bool:
            return (await serf.statuses())["py1"] == "left"

        await until(left, both.log)
        assert not {"packets_refused", "streams_refused"} & ours.membership.stats().keys()


async def everywhere(membership: SwimMembership, operation: KeyOperation, key: bytes = b"") -> KeyringOutcome:
    """Repeat an operation until all four have answered."""
    outcome = await membership.operate_keyring(operation, key)
    for _ in range(10):
        if outcome.responses == 4:
            break
        outcome = await membership.operate_keyring(operation, key)
    return outcome


async def test_keys_rotate_over_a_mixed_pool(tmp_path: Path) -> None:
    first, second, third = (bytes([number]) * length for number, length in ((1, 16), (2, 32), (3, 24)))
    async with pool(tmp_path, 2, 2, f"-encrypt={text(first)}", make_cipher=lambda: AesGcmCipher([first])) as agents:
        serf, ours = agents.serfs[1], agents.ours[1].membership

        async def serf_has(step: str, said: str) -> None:
            async def done() -> bool:
                return re.search(said, await serf.command("keys", step)) is not None

            await until(done, agents.log)
            assert await agents.is_whole()

        await serf_has(f"-install={text(second)}", "Successfully installed key")
        await serf_has(f"-use={text(second)}", "Successfully changed primary key")
        await serf_has(f"-remove={text(first)}", "Successfully removed key")
        await serf_has("-list", rf"{re.escape(text(second))}\s+\[4/4\]")
        assert [list(agent.cipher.keys()) for agent in agents.ours if agent.cipher] == [[second], [second]]

        for operation, key in (
            (KeyOperation.INSTALL, third),
            (KeyOperation.USE, third),
            (KeyOperation.REMOVE, second),
        ):
            outcome = await everywhere(ours, operation, key)
            assert outcome.error == ""
            assert await agents.is_whole()
        listed = await everywhere(ours, KeyOperation.LIST)
        assert (listed.keys, listed.primary_keys, listed.error) == ({third: 4}, {third: 4}, "")
        refused = await everywhere(ours, KeyOperation.REMOVE, third)
        assert refused.messages == dict.fromkeys(agents.names, "Removing the primary key is not allowed")
        await serf_has(f"-use={text(first)}", "4/4 nodes reported failure")

        await serf.command("event", "still", "here")
        await until(lambda: all(agent.user_events() == [("still", b"here")] for agent in agents.ours), agents.log)
        assert await agents.is_whole()
        for agent in agents.ours:
            assert not {"packets_refused", "streams_refused"} & agent.membership.stats().keys()
            assert MemberStatus.FAILED not in {member.status for member in agent.membership.members()}
        assert not [line for line in agents.errors() if "crypt" in line]


async def test_keys_without_encryption_are_refused_as_serf_does(tmp_path: Path) -> None:
    async with pool(tmp_path, 1, 1) as agents:
        output = await agents.serfs[0].command("keys", "-list")
        assert output.count("Keyring is empty (encryption not enabled)") == 2, output
        outcome = await agents.ours[0].membership.operate_keyring(KeyOperation.INSTALL, bytes(16))
        assert outcome.error == "2/2 nodes reported failure"
        assert set(outcome.messages.values()) == {"No keyring to modify (encryption not enabled)"}
