"""Joining by lists on which an agent finds itself."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, cast

import pytest

from consul_kernel.agent.pools import Pools
from consul_kernel.agent.retry_join import RetryJoinExhaustedError
from consul_kernel.config.load import load_config
from consul_kernel.contracts.errors import MembershipError
from consul_kernel.contracts.membership import Member, Membership, MemberStatus
from consul_kernel.contracts.transport import Address
from consul_kernel.testing.virtual_time import run_virtual

OWN, OTHER = "10.0.0.1:8301", "10.0.0.2:8301"


class LanPool:
    """Answers at some addresses, from some call on; remembers where it called."""

    def __init__(self, *, answering: Sequence[str], from_call: int = 1) -> None:
        self.local_member = Member(name="a1", address=Address("10.0.0.1", 8301), tags={}, status=MemberStatus.ALIVE)
        self._answering = answering
        self._from_call = from_call
        self.called: list[str] = []

    async def join(self, addresses: Sequence[Address]) -> int:
        assert len(addresses) == 1
        self.called.append(str(addresses[0]))
        if str(addresses[0]) not in self._answering or len(self.called) < self._from_call:
            raise MembershipError(f"Failed to join {addresses[0]}: refused")
        return 1


def pools(lan: LanPool, **keys: Any) -> Pools:
    config = load_config(overrides={"bind_addr": "10.0.0.1", "retry_interval": "1s", **keys})
    return Pools(config, cast("Membership", lan), None)


def test_who_lists_itself_tries_until_another_answers() -> None:
    lan = LanPool(answering=[OWN, OTHER], from_call=4)
    run_virtual(pools(lan, retry_join=[OWN, OTHER]).join_until_answered(wan=False))
    assert lan.called == [OTHER] * 4


def test_who_lists_only_itself_has_joined() -> None:
    lan = LanPool(answering=[OWN])
    run_virtual(pools(lan, retry_join=[OWN]).join_until_answered(wan=False))
    assert lan.called == [OWN]


def test_who_lists_itself_does_not_stop_when_the_others_stay_away(caplog: pytest.LogCaptureFixture) -> None:
    lan = LanPool(answering=[OWN])
    run_virtual(pools(lan, retry_join=[OWN, OTHER], retry_max=2).join_until_answered(wan=False))
    assert lan.called == [OTHER, OTHER, OWN, OTHER]
    assert f"Failed to join {OTHER}: refused; this agent is on the list itself" in caplog.text.replace(" * ", " ")


def test_who_lists_only_others_stops() -> None:
    lan = LanPool(answering=[OWN])
    with pytest.raises(RetryJoinExhaustedError, match="exhausted after 2 attempts"):
        run_virtual(pools(lan, retry_join=[OTHER], retry_max=2).join_until_answered(wan=False))


def test_a_join_by_hand_counts_everybody_and_tells_who_did_not_answer(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    lan = LanPool(answering=[OWN])
    assert run_virtual(pools(lan).join([OWN, OTHER], wan=False)) == 1
    assert f"some did not answer: 1 error occurred: * Failed to join {OTHER}: refused" in caplog.text
