"""Two of ours that compare digests in a pool with Debian's `serf`, which knows nothing of it: it must not notice."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from consul_kernel.contracts.membership import MemberStatus
from consul_kernel_aes_gcm.cipher import AesGcmCipher
from consul_kernel_swim.core.events import Dial
from consul_kernel_swim.core.messages import MessageType
from plugins.membership.swim.serf_process import SERF, OurAgent, SerfAgent, until

pytestmark = pytest.mark.skipif(SERF is None, reason="no `serf` binary on this machine")

KEY = bytes(range(32))
INTERVAL_MS = 250
EXCHANGES = 12


class Watched:
    """An agent of ours, and by the receiver's port how often it has begun which kind of stream."""

    def __init__(self, name: str, cipher: AesGcmCipher | None) -> None:
        self.agent = OurAgent(name, cipher, push_pull_interval_ms=INTERVAL_MS)
        self.begun: Counter[tuple[int, int]] = Counter()
        exchanges = self.agent.membership._exchanges
        dial = exchanges.dial

        async def noted(effect: Dial) -> None:
            self.begun[effect.to.port, effect.request[0]] += 1
            await dial(effect)

        exchanges.dial = noted  # type: ignore[method-assign]

    @property
    def incarnation(self) -> int:
        swim = self.agent.membership._swim
        assert swim is not None
        return swim.nodes.own.incarnation

    def heard(self, event: tuple[str, bytes]) -> bool:
        return self.agent.user_events() == [event]

    def digests_to(self, other: Watched) -> int:
        return self.begun[other.agent.address.port, MessageType.DIGEST]

    def whole_to(self, other: Watched) -> int:
        return self.begun[other.agent.address.port, MessageType.PUSH_PULL]


@pytest.fixture(params=["plain", "aes-gcm"])
async def pool(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[SerfAgent, Watched, Watched]]:
    """Both of ours have joined `serf`, so that each has heard of the other by its six bytes alone."""
    sealed = request.param == "aes-gcm"
    options = [f"-encrypt={base64.b64encode(KEY).decode()}"] if sealed else []
    serf = SerfAgent("go-serf", tmp_path / "serf.log", *options)
    one, two = (Watched(name, AesGcmCipher([KEY]) if sealed else None) for name in ("one", "two"))
    try:
        await serf.start()
        for ours in (one, two):
            await ours.agent.membership.start()
            assert await ours.agent.membership.join([serf.address]) == 1
        yield serf, one, two
    finally:
        await one.agent.stop()
        await two.agent.stop()
        await serf.stop()


async def test_serf_takes_no_notice_of_digests_among_us(pool: tuple[SerfAgent, Watched, Watched]) -> None:
    serf, one, two = pool
    alive = dict.fromkeys(("go-serf", "one", "two"), "alive")

    async def complete() -> bool:
        return await serf.statuses() == alive

    await until(complete, serf.tail)
    # A whole exchange among us tells the byte that serf has not passed on, if gossip has not; then digests begin.
    await until(lambda: one.digests_to(two) and two.digests_to(one), lambda: f"{one.begun} {two.begun}")
    await serf.command("join", str(one.agent.address))
    await serf.command("event", "from-go", "payload")
    for ours in (one, two):
        await until(partial(ours.heard, ("from-go", b"payload")), serf.tail)
    await two.agent.membership.send_user_event("from-two", b"\x00\xff")
    await until(lambda: "user-event: from-two" in serf.said(), serf.tail)
    await one.agent.membership.set_tags({"role": "kernel", "version": "2"})

    async def retagged() -> bool:
        return await serf.tags("one") == {"role": "kernel", "version": "2"}

    await until(retagged, serf.tail)
    await until(lambda: one.agent.status("two") is two.agent.status("one") is MemberStatus.ALIVE, serf.tail)

    # Many exchanges in which nothing changes, by digests among us and whole with serf. On a machine under load somebody
    # may be suspected and refute that, or be too late to answer, in one such time, but not in all of them.
    begun_at: tuple[int, ...] = ()

    def exchanged_at_rest() -> bool:
        nonlocal begun_at
        now_at = one.incarnation, two.incarnation, len(one.agent.events), len(two.agent.events)
        if now_at != begun_at or one.whole_to(two) or two.whole_to(one):
            begun_at = now_at
            one.begun.clear()
            two.begun.clear()
        with_serf = one.begun[serf.address.port, MessageType.PUSH_PULL]
        return one.digests_to(two) + two.digests_to(one) >= EXCHANGES and with_serf >= EXCHANGES // 3

    await until(exchanged_at_rest, lambda: f"{one.begun} {two.begun}")
    await until(complete, serf.tail)
    for ours in (one, two):
        assert not ours.begun[serf.address.port, MessageType.DIGEST]
        stats = ours.agent.membership.stats()
        assert not {"malformed", "packets_refused", "streams_refused"} & set(stats)
    members = json.loads(await serf.command("members", "-format=json", "-detailed"))["members"]
    assert {(member["protocol"]["min"], member["protocol"]["max"]) for member in members} == {(2, 5)}
    complaints = [line for line in serf.said().splitlines() if "[ERR]" in line or "[WARN]" in line]
    assert not [line for line in complaints if "suspect" not in line.lower() and "UDP probes failed" not in line]


async def test_serf_that_is_asked_for_a_digest_is_asked_for_all_instead(
    pool: tuple[SerfAgent, Watched, Watched],
) -> None:
    """A forged word may say that it can: it closes such a stream, and goes on as before."""
    serf, one, _ = pool
    swim = one.agent.membership._swim
    assert swim is not None
    one.begun.clear()

    def asked_for_both() -> bool:
        node = swim.nodes.get("go-serf")
        if node is not None and len(node.versions) == 6:  # so it is again after each refutation
            node.learn_versions(node.versions + b"\1")
        port = serf.address.port
        return one.begun[port, MessageType.DIGEST] > 0 and one.begun[port, MessageType.PUSH_PULL] > 0

    await until(asked_for_both, serf.tail)
    assert int(one.agent.membership.stats()["digests_unanswered"]) >= 1
    await until(lambda: one.agent.status("go-serf") is MemberStatus.ALIVE, serf.tail)
