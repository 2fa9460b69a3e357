"""A session that lives as long as the program that made it."""

from __future__ import annotations

import threading
from contextlib import suppress

from consul_kernel.cli.client import AgentClient, AgentError

TTL_S = 15
"""As Consul's Go client has it: a program that dies without a word is forgotten within twice this time."""
RENEW_INTERVAL_S = TTL_S / 2
RETRY_S = 1.0


class KeptSession:
    """Renewed by a thread of its own between `open` and `close`. Both raise AgentError."""

    def __init__(self, client: AgentClient, name: str, *, deletes: bool) -> None:
        """`deletes`: keys that the session holds go with it, rather than stay and be free."""
        self._client = client
        self._definition = {"Name": name, "TTL": f"{TTL_S}s", "Behavior": "delete" if deletes else "release"}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="session-renewal", daemon=True)
        self.id = ""

    def open(self) -> None:
        """Make the session and begin to renew it."""
        self.id = str(self._client.put_json("/v1/session/create", self._definition).json()["ID"])
        self._thread.start()

    def close(self) -> None:
        """End the session, with all that it holds."""
        self._ended.set()
        if self.id:
            self._client.put(f"/v1/session/destroy/{self.id}")

    def _renew(self) -> None:
        """A renewal that fails is tried again soon; when the session is gone, who watches the lock will see that."""
        wait_s = RENEW_INTERVAL_S
        while not self._ended.wait(wait_s):
            wait_s = RETRY_S
            with suppress(AgentError):
                self._client.put(f"/v1/session/renew/{self.id}")
                wait_s = RENEW_INTERVAL_S
