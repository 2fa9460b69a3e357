"""The directory of servers: what gossip tells, and who is asked next."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping

from consul_kernel.contracts.transport import Address
from consul_kernel.rpc.directory import ServerDirectory, ServerEntry


def entry(name: str, datacenter: str = "dc1", port: int = 8300) -> ServerEntry:
    return ServerEntry(f"id-{name}", name, datacenter, Address("10.0.0.1", port))


def directory_of(names: str, datacenter: str = "dc1", *, rtt_s: Mapping[str, float] | None = None) -> ServerDirectory:
    rtts = rtt_s or {}
    directory = ServerDirectory(random.Random(1), lambda server: rtts.get(server.name, math.inf))
    for name in names:
        directory.add(entry(name, datacenter))
    return directory


def names(directory: ServerDirectory, datacenter: str = "dc1") -> str:
    return "".join(server.name for server in directory.servers(datacenter))


def test_it_follows_what_gossip_tells() -> None:
    directory = ServerDirectory(random.Random(1))
    assert directory.pick("dc1") is None
    for name in "abcd":
        directory.add(entry(name))
    assert set(names(directory)) == set("abcd")
    place = names(directory).index("b")
    directory.add(entry("b", port=9300))
    assert directory.servers("dc1")[place].address.port == 9300
    directory.add(entry("b", datacenter="dc2"))
    assert directory.count("dc1") == 4
    assert directory.datacenters() == ["dc1", "dc2"]
    directory.remove("dc1", "b")
    directory.remove("dc1", "unknown")
    assert directory.get("dc1", "b") is None
    assert directory.get("dc2", "b") == entry("b", datacenter="dc2")


def test_a_datacenter_is_known_as_long_as_one_of_its_servers_is_were_it_a_failed_one() -> None:
    directory = directory_of("ab", "dc2")
    directory.lose("dc2", "a")
    directory.lose("dc2", "b")
    directory.lose("dc2", "never seen")
    assert directory.route("dc2") == []
    assert directory.knows_datacenter("dc2")
    assert directory.datacenters() == ["dc2"]
    directory.remove("dc2", "a")
    assert directory.knows_datacenter("dc2")
    directory.remove("dc2", "b")
    assert not directory.knows_datacenter("dc2")
    directory.lose("dc2", "b")
    assert directory.datacenters() == []
    directory.add(entry("b", "dc2"))
    directory.lose("dc2", "b")
    directory.add(entry("b", "dc2"))
    assert [server.name for server in directory.route("dc2")] == ["b"]
    directory.remove("dc2", "b")
    assert not directory.knows_datacenter("dc2")


def test_one_id_in_two_datacenters_is_two_servers() -> None:
    """A data directory that was copied from one datacenter to another must not take a server out of the first."""
    directory = directory_of("a")
    directory.add(ServerEntry("id-a", "x", "dc2", Address("10.9.0.1", 8300)))
    assert (directory.count("dc1"), directory.count("dc2")) == (1, 1)


def test_failed_server_goes_to_the_end_only_from_the_front() -> None:
    directory = directory_of("abc")
    first, second, third = directory.servers("dc1")
    directory.fail(third)
    assert directory.servers("dc1") == (first, second, third)
    directory.fail(first)
    directory.fail(first)
    assert directory.servers("dc1") == (second, third, first)
    assert directory.pick("dc1") == second


def test_clients_spread_over_servers() -> None:
    def first_choices(rebalances: int) -> set[str]:
        chosen = set()
        for seed in range(40):
            directory = ServerDirectory(random.Random(seed))
            for name in "abc":
                directory.add(entry(name))
            for _ in range(rebalances):
                directory.rebalance()
            server = directory.pick("dc1")
            assert server is not None
            chosen.add(server.id)
        return chosen

    assert first_choices(0) == first_choices(3) == {"id-a", "id-b", "id-c"}


def first_of_route(directory: ServerDirectory, calls: int = 300) -> Counter[str]:
    return Counter(directory.route("dc2")[0].name for _ in range(calls))


def test_near_servers_share_the_calls_and_far_ones_come_behind_by_distance() -> None:
    rtt_s = {"a": 0.100, "b": 0.140, "c": 0.250, "d": 0.200}
    directory = directory_of("abcde", "dc2", rtt_s=rtt_s)
    first = first_of_route(directory)
    assert set(first) == {"a", "b"}
    assert min(first.values()) > 100
    assert "".join(server.name for server in directory.route("dc2")).endswith("dce")


def test_servers_within_a_hair_of_the_nearest_are_as_near() -> None:
    assert set(first_of_route(directory_of("abc", "dc2", rtt_s={"a": 0.0001, "b": 0.0018, "c": 0.01}))) == {"a", "b"}


def test_without_coordinates_all_share_the_calls() -> None:
    assert min(first_of_route(directory_of("abc", "dc2")).values()) > 60


def test_who_did_not_answer_is_asked_last_until_there_is_news() -> None:
    directory = directory_of("abc", "dc2", rtt_s={"a": 0.001, "b": 0.2, "c": 0.3})
    a, b = entry("a", "dc2"), entry("b", "dc2")
    directory.doubt(a)
    directory.doubt(b)
    assert "".join(server.name for server in directory.route("dc2")) == "cab"
    assert directory.doubtful() == (a, b)
    directory.doubt(a)
    assert "".join(server.name for server in directory.route("dc2")) == "cba"
    directory.trust(b)
    assert "".join(server.name for server in directory.route("dc2")) == "bca"
    directory.add(a)
    assert directory.doubtful() == ()
    assert directory.route("dc2")[0].name == "a"


def test_doubts_are_about_servers_that_are_known() -> None:
    directory = directory_of("a", "dc2")
    moved = entry("a", "dc2", port=9300)
    directory.add(moved)
    directory.doubt(entry("a", "dc2"))
    directory.doubt(entry("b", "dc2"))
    assert directory.doubtful() == ()
    directory.doubt(moved)
    directory.lose("dc2", "a")
    assert directory.doubtful() == ()
