"""peers.json: used once, on every server that is left, and never where it was not meant."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from consul_kernel.contracts.consensus import Consensus, RecoverableConsensus, Server, Suffrage
from consul_kernel.contracts.errors import ConsensusError, PluginStartError
from consul_kernel.server.peers_file import INFO, PeersFile

SERVERS = [
    {"id": "id-1", "address": "10.0.0.1:8300", "non_voter": False},
    {"id": "id-2", "address": "10.0.0.2:8300"},
    {"id": "id-3", "address": "10.0.0.3:8300", "non_voter": True},
]


class Recoverable:
    """A consensus that remembers what it was made to go on with."""

    def __init__(self, error: ConsensusError | None = None) -> None:
        self.forced: list[Sequence[Server]] = []
        self._error = error

    async def force_configuration(self, servers: Sequence[Server]) -> None:
        if self._error is not None:
            raise self._error
        self.forced.append(servers)


async def apply(data_dir: Path, consensus: object, *, is_new: bool = False) -> None:
    await PeersFile(data_dir).apply(cast("Consensus", consensus), is_new=is_new)


def write(data_dir: Path, document: Any) -> Path:
    folder = data_dir / "raft"
    folder.mkdir(exist_ok=True)
    path = folder / "peers.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


async def test_the_quorum_is_what_the_file_says_and_the_file_goes(tmp_path: Path) -> None:
    consensus = Recoverable()
    assert isinstance(consensus, RecoverableConsensus)
    await apply(tmp_path, consensus)
    assert consensus.forced == []
    path = write(tmp_path, SERVERS)
    await apply(tmp_path, consensus)
    assert consensus.forced == [
        [
            Server("id-1", "10.0.0.1:8300"),
            Server("id-2", "10.0.0.2:8300"),
            Server("id-3", "10.0.0.3:8300", Suffrage.NONVOTER),
        ]
    ]
    assert not path.exists()
    await apply(tmp_path, consensus)
    assert len(consensus.forced) == 1


async def test_a_file_in_an_empty_folder_was_meant_for_another(tmp_path: Path) -> None:
    consensus = Recoverable()
    path = write(tmp_path, SERVERS)
    await apply(tmp_path, consensus, is_new=True)
    assert not path.exists()
    assert consensus.forced == []
    info = tmp_path / "raft" / "peers.info"
    assert info.read_text() == INFO
    example = INFO[INFO.index("[") : INFO.index("]") + 1]
    write(tmp_path, example)
    await apply(tmp_path, consensus)
    assert len(consensus.forced) == 1, "the example in peers.info is one"


@pytest.mark.parametrize(
    "document",
    [
        "{bad",
        "5",
        '{"id": 1}',
        '["10.0.0.1:8300"]',
        '[{"id": "a"}]',
        '[{"id": 1, "address": "b"}]',
        '[{"id": "a", "address": "b", "non_voter": "no"}]',
    ],
)
async def test_a_file_that_cannot_be_read_stops_the_start_and_stays(tmp_path: Path, document: str) -> None:
    path = write(tmp_path, document)
    with pytest.raises(PluginStartError, match=r"peers\.json: a list of \{id, address, non_voter\} expected"):
        await apply(tmp_path, Recoverable())
    assert path.exists()


async def test_what_the_consensus_refuses_stops_the_start(tmp_path: Path) -> None:
    path = write(tmp_path, SERVERS)
    with pytest.raises(PluginStartError, match=r"peers\.json: at least one voter"):
        await apply(tmp_path, Recoverable(ConsensusError("at least one voter is needed")))
    with pytest.raises(PluginStartError, match="cannot be given other servers"):
        await apply(tmp_path, object())
    assert path.exists()
