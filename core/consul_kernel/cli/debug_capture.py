"""What `consul-kernel debug` takes down of an agent, as files of a folder (Consul: commands/debug)."""

from __future__ import annotations

import json
import shutil
import tarfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .client import AgentClient, AgentError

METRICS, LOGS, PPROF, HOST, AGENT, MEMBERS = "metrics", "logs", "pprof", "host", "agent", "members"
TARGETS = (METRICS, LOGS, PPROF, HOST, AGENT, MEMBERS)
CLUSTER = "cluster"
"""What `members` was called before Consul 1.10."""

_STATIC = {
    HOST: ("/v1/agent/host", {}),
    AGENT: ("/v1/agent/self", {}),
    MEMBERS: ("/v1/agent/members", {"wan": "1"}),
}
_SNAPSHOTS = ("heap", "goroutine")
"""Profiles of a moment, taken once an interval."""
_PROFILES = {"profile": "profile.prof", "trace": "trace.out"}
"""Profiles of a span of time, and their files."""


_PATIENCE_S = 5.0


def write_json(path: Path, document: Any) -> None:
    """A document, with tabs, as Consul writes it."""
    path.write_text(json.dumps(document, indent="\t", ensure_ascii=False))


class Follower:
    """Writes down a body that goes on, in a thread, until it ends or is stopped. `error` is why it broke off, or "".

    One that `ends_itself` is given a moment for that before it is stopped.
    """

    def __init__(
        self, client: AgentClient, path: str, query: dict[str, str | None], file: Path, *, ends_itself: bool
    ) -> None:
        self._stream = client.open_stream(path, query)
        self._file = file
        self._ends_itself = ends_itself
        self._is_stopped = False
        self.error = ""
        self._thread = threading.Thread(target=self._write, daemon=True)

        self._thread.start()

    def _write(self) -> None:
        try:
            self._stream.open(is_patient=True)
            with self._file.open("wb") as file:
                for line in self._stream:
                    file.write(line)
        except (AgentError, OSError, ValueError) as error:
            # ValueError: the stream was closed while it was read, which is how it is stopped.
            if not self._is_stopped:
                self.error = f"{self._file.name}: {error}"

    def stop(self) -> None:
        """End it; what has come by now is in the file."""
        if self._ends_itself:
            self._thread.join(_PATIENCE_S)
        self._is_stopped = True
        self._stream.shut()
        self._thread.join(_PATIENCE_S)


class DebugCapture:
    """Takes things down into a folder. Errors are returned as texts: the rest is worth having all the same."""

    def __init__(self, client: AgentClient, folder: Path, targets: Sequence[str]) -> None:
        self._client = client
        self._folder = folder
        self._targets = {MEMBERS if target == CLUSTER else target for target in targets}
        self._followers: list[Follower] = []

    @property
    def is_dynamic(self) -> bool:
        """Whether anything is to be captured that takes time."""
        return bool(self._targets & {METRICS, LOGS, PPROF})

    def static(self) -> list[str]:
        """What does not change: the host, the agent, the members."""
        errors = []
        for target, (path, query) in _STATIC.items():
            if target in self._targets:
                errors += self._try(lambda path=path, query=query: self._client.get_json(path, query), target)
        return errors

    def _try(self, ask: Any, target: str) -> list[str]:
        try:
            write_json(self._folder / f"{target}.json", ask())
        except AgentError as error:
            return [f"{target}: {error}"]
        return []

    def begin(self, duration_s: int, interval_s: int) -> None:
        """Begin with what goes on for the whole time."""
        if LOGS in self._targets:
            self._follow("/v1/agent/monitor", {"loglevel": "TRACE"}, "consul.log", ends_itself=False)
        if PPROF in self._targets:
            for name, file in _PROFILES.items():
                seconds = duration_s if name == "profile" else interval_s
                self._follow(f"/debug/pprof/{name}", {"seconds": str(seconds)}, file, ends_itself=True)

    def _follow(self, path: str, query: dict[str, str | None], file: str, *, ends_itself: bool) -> None:
        self._followers.append(Follower(self._client, path, query, self._folder / file, ends_itself=ends_itself))

    def moment(self, name: str) -> list[str]:
        """What is taken once an interval: metrics, one JSON document a line, and profiles in a folder of this name."""
        errors = []
        if METRICS in self._targets:
            try:
                document = self._client.get_json("/v1/agent/metrics")
                with (self._folder / "metrics.json").open("a") as file:
                    file.write(json.dumps(document) + "\n")
            except AgentError as error:
                errors.append(f"metrics: {error}")
        if PPROF in self._targets:
            folder = self._folder / name
            folder.mkdir(exist_ok=True)
            for profile in _SNAPSHOTS:
                try:
                    (folder / f"{profile}.prof").write_bytes(self._client.get(f"/debug/pprof/{profile}").body)
                except AgentError as error:
                    errors.append(f"{profile}: {error}")
        return errors

    def end(self) -> list[str]:
        """End what goes on."""
        for follower in self._followers:
            follower.stop()
        return [follower.error for follower in self._followers if follower.error]


def make_archive(folder: Path, archive: Path) -> None:
    """The folder as a compressed tar file in its place. OSError; then the folder is still there."""
    unfinished = archive.with_name(archive.name + ".tmp")
    try:
        with tarfile.open(unfinished, "w:gz") as tar:
            tar.add(folder, arcname=folder.name)
        unfinished.replace(archive)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    shutil.rmtree(folder)
