"""Clients: one request at a time, at any server, never repeated; what is not known is noted as unknown."""

from __future__ import annotations

import base64
import random
import threading
import time
from math import inf

from harness.http import Answer, request

from .history import History, Kind, Operation, Outcome
from .servers import Server

KEYS = 4
"""Written at one time; each is given up for a new one after a while, so that a history stays short."""
KEY_LIFE_S = 10.0
TIMEOUT_S = 5.0
UNSENT_PAUSE_S = 0.05
WEIGHTS = {"put": 18, "cas": 22, "consistent": 26, "default": 16, "stale": 8, "insert": 10}


class Client(threading.Thread):
    """Chooses an operation and a key at random, always at one server, until it is told to end.

    A server that does not answer so holds up its own clients only.
    """

    def __init__(
        self, number: int, server: Server, history: History, seed: int, end: threading.Event, think_s: float
    ) -> None:
        super().__init__(name=f"client-{number}")
        self._number = number
        self._server = server
        self._history = history
        self._rng = random.Random(f"{seed}/{number}")
        self._end = end
        self._think_s = think_s
        self._written = 0
        self._begun_s = time.monotonic()
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Never raises; `failure` says what the client could not make sense of."""
        try:
            while not self._end.is_set():
                self._act()
                self._end.wait(self._rng.random() * self._think_s)
        except Exception as error:  # noqa: BLE001 -- told to who started the run
            self.failure = error

    def _act(self) -> None:
        server = self._server
        mode = self._rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        era = int((time.monotonic() - self._begun_s) / KEY_LIFE_S)
        key = f"torture/{era}/{self._rng.randrange(KEYS)}"
        try:
            if mode == "put":
                self._put(server, key)
            elif mode == "insert":
                self._insert(server)
            elif mode == "cas":
                self._cas(server, key)
            else:
                self._history.add(read(server, key, mode))
        except ConnectionRefusedError:
            self._history.count_unsent(mode)
            self._end.wait(UNSENT_PAUSE_S)

    def _new_value(self) -> str:
        self._written += 1
        return f"{self._number}.{self._written}"

    def _put(self, server: Server, key: str) -> None:
        self._history.add(_write(server, Kind.PUT, key, self._new_value()))

    def _insert(self, server: Server) -> None:
        value = self._new_value()
        self._history.add_insert(_write(server, Kind.PUT, f"inserts/{value}", value))

    def _cas(self, server: Server, key: str) -> None:
        """On what this client has just read, which others may have changed by now."""
        seen = read(server, key, self._rng.choice(["consistent", "default"]))
        self._history.add(seen)
        if seen.outcome is Outcome.OK:
            self._history.add(_write(server, Kind.CAS, key, self._new_value(), seen))


def read(server: Server, key: str, mode: str) -> Operation:
    """Read a key: by "default", or "consistent" or "stale". Raises ConnectionRefusedError."""
    called_s = time.monotonic()
    answer = _ask(server, "GET", f"/v1/kv/{key}" + ("" if mode == "default" else f"?{mode}"))
    returned_s = time.monotonic()
    if answer is None:
        return Operation(Kind.READ, key, called_s, inf, Outcome.UNKNOWN, None, mode=mode, server=server.name)
    value, index = None, 0
    if answer.status != 404:
        entry = answer.json[0]
        value, index = base64.b64decode(entry["Value"]).decode(), entry["ModifyIndex"]
    return Operation(
        Kind.READ, key, called_s, returned_s, Outcome.OK, value, mode=mode, index=index, server=server.name
    )


def _write(server: Server, kind: Kind, key: str, value: str, seen: Operation | None = None) -> Operation:
    called_s = time.monotonic()
    answer = _ask(server, "PUT", f"/v1/kv/{key}" + (f"?cas={seen.index}" if seen else ""), value)
    returned_s = time.monotonic() if answer is not None else inf
    if answer is None:
        outcome = Outcome.UNKNOWN
    else:
        outcome = Outcome.OK if answer.body.strip() == b"true" else Outcome.REFUSED
        if outcome is Outcome.REFUSED and kind is Kind.PUT:
            raise ValueError(f"a PUT was answered with {answer.status} {answer.body!r}")
    expected = seen.value if seen else None
    return Operation(kind, key, called_s, returned_s, outcome, value, expected, server=server.name)


def _ask(server: Server, method: str, path: str, body: str | None = None) -> Answer | None:
    """The answer, None where none came or it is an error of the server: then nobody knows.

    Raises ConnectionRefusedError: nothing was sent.
    """
    try:
        answer = request(server.http, method, path, body, timeout_s=TIMEOUT_S)
    except ConnectionRefusedError:
        raise
    except OSError:
        return None
    if answer.status >= 500 or answer.status == 429:
        return None
    if answer.status not in (200, 404):
        raise ValueError(f"{method} {path}: {answer.status} {answer.body!r}")
    return answer
