"""`raft/peers.json` in the data folder: what operators write when a majority of the servers is lost for good.

Consul's format and habits: a list of `{"id", "address", "non_voter"}`, the same on every server that is left, written
while all are stopped; it is used at the next start and then removed. `raft/peers.info` beside it says so, and shows
that the folder has been in use: a file that came with an empty folder was meant for another one, and is removed.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from consul_kernel.contracts.consensus import Consensus, RecoverableConsensus, Server, Suffrage
from consul_kernel.contracts.errors import ConsensusError, PluginStartError

logger = logging.getLogger(__name__)

PEERS_FILE = "peers.json"
INFO_FILE = "peers.info"
INFO = """\
When more servers are lost for good than the quorum can do without, stop all that are left, and put a file
peers.json beside this one on each, with the same content:

[
  {"id": "adf4238a-882b-9ddc-4a9d-5b6758e4159e", "address": "10.1.0.1:8300", "non_voter": false},
  {"id": "8b6dda82-3103-11e7-93ae-92361f002671", "address": "10.1.0.2:8300"}
]

The ids are in the file node-id of each server's data folder. Then start them. They go on as a quorum of these servers,
and the file is removed. Writes that only the lost servers had acknowledged are lost with them.
"""


class PeersFile:
    """The file in the folder `raft` of a server's data folder."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "raft"
        self._path = self._folder / PEERS_FILE

    async def apply(self, consensus: Consensus, *, is_new: bool) -> None:
        """Before the consensus starts: make it go on with what the file says, if there is one.

        `is_new`: this server has no log yet. Raises PluginStartError, and leaves the file, where it is no use.
        """
        info = self._folder / INFO_FILE
        if is_new and not info.exists():
            self._write_info(info)
            if self._path.exists():
                logger.warning("%s: removed, since there is no log that it could be about", self._path)
                self._remove()
            return
        if not info.exists():
            self._write_info(info)
        if not self._path.exists():
            return
        servers = self._read()
        if not isinstance(consensus, RecoverableConsensus):
            raise PluginStartError(f"{self._path}: this consensus cannot be given other servers: remove the file")
        try:
            await consensus.force_configuration(servers)
        except ConsensusError as error:
            raise PluginStartError(f"{self._path}: {error}") from error
        logger.warning("%s: the quorum is now %s", self._path, ", ".join(server.address for server in servers))
        self._remove()

    def _read(self) -> Sequence[Server]:
        try:
            found: Any = json.loads(self._path.read_bytes())
            return [_server(item) for item in found]
        except OSError as error:
            raise PluginStartError(f"{self._path}: {error.strerror}") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise PluginStartError(
                f"{self._path}: a list of {{id, address, non_voter}} expected ({error!r}); {INFO_FILE} shows one"
            ) from error

    def _write_info(self, info: Path) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            info.write_text(INFO, encoding="utf-8")
        except OSError as error:
            raise PluginStartError(f"{info}: {error.strerror}") from error

    def _remove(self) -> None:
        """Once is enough: the removal is durable before anything is built on the new quorum."""
        try:
            self._path.unlink()
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise PluginStartError(f"{self._path}: cannot be removed: {error.strerror}") from error


def _server(item: Any) -> Server:
    server_id, address, has_no_vote = item["id"], item["address"], item.get("non_voter", False)
    if not isinstance(server_id, str) or not isinstance(address, str) or not isinstance(has_no_vote, bool):
        raise TypeError(f"text, text and a boolean expected in {item}")
    return Server(server_id, address, Suffrage.NONVOTER if has_no_vote else Suffrage.VOTER)
