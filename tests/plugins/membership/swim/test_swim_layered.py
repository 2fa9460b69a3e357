"""Tables that lie over a shared one behave as tables of their own, and leave what is shared as it was."""

from __future__ import annotations

import random
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from consul_kernel.contracts.membership import MemberStatus
from consul_kernel_swim.core.events import PacketReceived, Started
from consul_kernel_swim.core.layered import Layered
from consul_kernel_swim.core.messages import Dead
from consul_kernel_swim.core.settings import Settings
from consul_kernel_swim.core.swim import SharedPool, Swim
from plugins.membership.swim.core_bench import OWN, PEER, alive

NAMES = st.sampled_from("abcdefgh")
CHANGES = st.lists(st.tuples(st.sampled_from(("put", "change", "remove")), NAMES, st.integers(0, 99)), max_size=40)


@dataclass
class Box:
    value: int

    def copy(self) -> Box:
        return Box(self.value)


@given(st.dictionaries(NAMES, st.integers(0, 99)), CHANGES)
def test_a_table_over_another_is_as_good_as_a_table_of_its_own(
    shared: dict[str, int], changes: list[tuple[str, str, int]]
) -> None:
    base = {name: Box(value) for name, value in shared.items()}
    table = Layered(Box.copy)
    table.lie_over(base)
    model = dict(shared)
    for kind, name, value in changes:
        if kind == "put":
            table.put(name, Box(value))
            model[name] = value
        elif name in model:
            if kind == "change":
                box = table.get(name)
                assert box is not None
                box.value = value
                model[name] = value
            else:
                table.remove(name)
                del model[name]
        assert len(table) == len(model)
        peeked = table.peek(name)
        assert (None if peeked is None else peeked.value) == model.get(name)
    assert sorted(box.value for box in table.values()) == sorted(model.values())
    assert {name: box.value for name, box in table.shared().items()} == model
    assert {name: box.value for name, box in base.items()} == shared


def test_agents_that_share_a_pool_learn_each_for_itself() -> None:
    first = Swim("own", OWN, {}, Settings(), random.Random(1))
    first.step(Started(), 0)
    for number in range(5):
        first.step(PacketReceived(alive(f"n{number}", number).encode(), PEER), 0)
    pool = first.shared_pool()
    a, b = (standing(pool, seed) for seed in (2, 3))
    a.step(PacketReceived(Dead(1, "n3", "n4").encode(), PEER), 1_000)
    seen = [{member.name: member.status for member in swim.members()} for swim in (a, b)]
    assert seen[0].pop("n3") is MemberStatus.FAILED
    assert seen[1].pop("n3") is MemberStatus.ALIVE
    assert seen[0] == seen[1]
    assert set(seen[0].values()) == {MemberStatus.ALIVE}
    assert len(a.nodes) == len(b.nodes) == 6


def standing(pool: SharedPool, seed: int) -> Swim:
    swim = Swim("own", OWN, {}, Settings(), random.Random(seed))
    swim.stand_in(pool)
    swim.step(Started(), 0)
    assert swim.serf.roster.count(MemberStatus.ALIVE) == 6
    return swim
