"""A quorum of servers in one process, for any consensus plugin: in-memory network, logs, snapshots and state.

Made for `virtual_time`, where a minute of elections takes a fraction of a second. What a crash does: the streams end
without a word, what `append` had not confirmed is lost, and the state machine starts from nothing (or, with
`durable_state`, from what it had applied).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

from consul_kernel.contracts.consensus import (
    Consensus,
    ConsensusContext,
    LeaderChange,
    RecoverableConsensus,
    Server,
    Suffrage,
)
from consul_kernel.contracts.errors import ConsensusError
from consul_kernel.contracts.transport import Address, Listener, Stream

from .consensus_parts import FlushedLog, JournalMachine, KeptSnapshots
from .memory_network import MemoryNetwork
from .virtual_time import virtual_now_ms

WAIT_MS = 60_000
"""What is waited at most for anything that must happen."""
PORT = 8300

MakeConsensus = Callable[[ConsensusContext], Consensus]


class Node:
    """One server: what survives a crash (log, snapshots) and what runs until then."""

    def __init__(self, number: int) -> None:
        self.id = f"00000000-0000-4000-8000-{number:012d}"
        self.host = f"10.0.0.{number}"
        self.server = Server(self.id, f"{self.host}:{PORT}")
        self.log = FlushedLog()
        self.snapshots = KeptSnapshots()
        self.machine = JournalMachine()
        self.consensus: Consensus | None = None
        self.listener: Listener | None = None
        self.changes: list[LeaderChange] = []
        self.failures: list[BaseException] = []
        self.life = 0

    @property
    def running(self) -> Consensus:
        """The consensus of a server that runs."""
        assert self.consensus is not None
        return self.consensus

    @property
    def commands(self) -> list[bytes]:
        """What was applied, in order."""
        return [command for _, command in self.machine.commands]


class Quorum:
    """Servers 1 to `size`, made by `make`. Use it as an async context manager."""

    def __init__(
        self,
        make: MakeConsensus,
        *,
        size: int = 3,
        seed: int = 1,
        multiplier: int = 1,
        snapshot_threshold: int = 16_384,
        snapshot_interval_ms: int = 30_000,
        trailing_logs: int = 10_240,
        durable_state: bool = False,
    ) -> None:
        self._make = make
        self._rng = random.Random(seed)
        self.network = MemoryNetwork(random.Random(seed + 1), stream_break_ms=10_000)
        self.nodes = [Node(number) for number in range(1, size + 1)]
        self._settings = (multiplier, snapshot_threshold, snapshot_interval_ms, trailing_logs)
        self._durable_state = durable_state
        self._buried: list[Consensus] = []

    async def __aenter__(self) -> Quorum:
        for node in self.nodes:
            await self.start(node)
        return self

    async def __aexit__(self, *_: object) -> None:
        for consensus in self._buried:
            await consensus.aclose()
        for node in self.nodes:
            await self.stop(node)

    # --- servers ---

    def add_node(self) -> Node:
        """A server more, that knows nothing and does not run yet."""
        node = Node(len(self.nodes) + 1)
        self.nodes.append(node)
        return node

    async def start(self, node: Node, *, forced: Sequence[Server] = ()) -> None:
        """Start a server on what its last life left behind; with `forced`, as one of these and of no others."""
        if node.life and not self._durable_state:
            node.machine = JournalMachine()
        node.life += 1
        life = node.life
        node.log.alive = lambda: node.life == life
        transport = self.network.transport(node.host)

        async def dial(server: Server) -> Stream:
            host, _, port = server.address.rpartition(":")
            return await transport.dial(Address(host, int(port)), timeout_ms=2000)

        multiplier, threshold, interval_ms, trailing = self._settings
        node.consensus = self._make(
            ConsensusContext(
                server_id=node.id,
                address=node.server.address,
                log=node.log,
                snapshots=node.snapshots,
                state_machine=node.machine,
                dial=dial,
                on_leader_change=node.changes.append,
                on_failure=node.failures.append,
                now_ms=virtual_now_ms,
                rng=random.Random(self._rng.random()),
                multiplier=multiplier,
                snapshot_threshold=threshold,
                snapshot_interval_ms=interval_ms,
                trailing_logs=trailing,
            )
        )
        if forced:
            assert isinstance(node.consensus, RecoverableConsensus)
            await node.consensus.force_configuration(forced)
        await node.consensus.start()
        node.listener = await transport.listen(Address(node.host, PORT), node.consensus.serve)

    async def stop(self, node: Node) -> None:
        """Stop a server in order."""
        if node.listener is not None:
            await node.listener.aclose()
            node.listener = None
        if node.consensus is not None:
            await node.consensus.aclose()
            node.consensus = None

    def crash(self, node: Node) -> None:
        """Kill a server: nothing that it does from now on reaches its disk or the network."""
        node.life += 1
        if self._durable_state:
            copy = JournalMachine()
            copy.commands, copy.applied_index = list(node.machine.commands), node.machine.applied_index
            node.machine = copy
        self.network.crash(node.host)
        node.listener = None
        if node.consensus is not None:
            self._buried.append(node.consensus)
            node.consensus = None

    @property
    def alive(self) -> list[Node]:
        """The servers that run."""
        return [node for node in self.nodes if node.consensus is not None]

    def followers(self, leader: Node) -> list[Node]:
        """The servers that run besides the leader."""
        return [node for node in self.alive if node is not leader]

    # --- what tests ask for ---

    async def bootstrap(self) -> Node:
        """Found the quorum on every server, as founders do, and wait for its leader."""
        servers = [node.server for node in self.nodes]
        for node in self.alive:
            try:
                await node.running.bootstrap(servers)
            except ConsensusError:
                if not node.running.configuration.servers:
                    raise  # else another founder was faster, and its entry has arrived
        return await self.leader()

    async def bootstrap_one(self, node: Node) -> None:
        """Found a quorum of one server, and wait until it leads."""
        await node.running.bootstrap([node.server])
        await self.leader([node])

    async def leader(self, among: Sequence[Node] | None = None) -> Node:
        """Wait until one of these servers leads."""
        nodes = among if among is not None else self.alive
        await self.until(lambda: any(node.running.is_leader for node in nodes), "a leader")
        return next(node for node in nodes if node.running.is_leader)

    async def until(self, holds: Callable[[], bool], what: str, *, within_ms: int = WAIT_MS) -> None:
        """Wait for a condition. AssertionError after `within_ms`."""
        deadline_ms = virtual_now_ms() + within_ms
        while not holds():
            if virtual_now_ms() >= deadline_ms:
                raise AssertionError(f"no {what} within {within_ms} ms: {[node.id for node in self.alive]}")
            await asyncio.sleep(0.005)

    async def until_equal(self, nodes: Sequence[Node] | None = None) -> None:
        """Wait until these servers have applied the same commands, as many as any has."""
        chosen = nodes if nodes is not None else self.alive

        def equal() -> bool:
            longest = max(chosen, key=lambda node: len(node.commands)).commands
            return all(node.commands == longest for node in chosen)

        await self.until(equal, "equal state")

    async def propose(self, command: bytes, *, timeout_ms: int = 5000) -> object:
        """Propose on whoever leads, until it is acknowledged. It may be applied more than once then."""
        deadline_ms = virtual_now_ms() + WAIT_MS
        while True:
            leader = await self.leader()
            try:
                return await leader.running.propose(command, timeout_ms=timeout_ms)
            except ConsensusError:
                if virtual_now_ms() >= deadline_ms:
                    raise
                await asyncio.sleep(0.01)

    def address(self, node: Node) -> Address:
        """Where a server's consensus listens."""
        return Address(node.host, PORT)

    def nonvoter(self, node: Node) -> Server:
        """The server without a vote."""
        return Server(node.id, node.server.address, Suffrage.NONVOTER)


Check = Callable[[MakeConsensus, int], Awaitable[None]]
"""A check of one clause: of a consensus, with as many servers as it may have in a check."""
