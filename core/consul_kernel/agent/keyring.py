"""A pool's gossip keys, kept in the data directory: `serf/local.keyring` and `serf/remote.keyring`, as in Consul.

The file is a JSON array of the keys in base64, the primary first. At the first start it is written from the agent file;
from then on it counts, and the agent file's keys do not: they may be older than the last rotation.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from consul_kernel.contracts.cipher import KEY_IS_PRIMARY, KEY_NOT_INSTALLED, Cipher
from consul_kernel.contracts.errors import CipherError, PluginStartError

logger = logging.getLogger(__name__)

LAN_KEYRING = "serf/local.keyring"
WAN_KEYRING = "serf/remote.keyring"
FILE_MODE = 0o600
FOLDER_MODE = 0o700

_POOLS = {LAN_KEYRING: "LAN", WAN_KEYRING: "WAN"}


class Keyring:
    """Contract `Cipher`: a plugin's cipher whose ring outlives the process.

    Sealing and opening are the cipher's own methods. A change of the ring is on disk before it is reported done, which
    takes some milliseconds of the event loop; it is an operator's rare request. One that cannot be written is undone
    and raises CipherError, so that memory and file agree. With `path` None the ring lives in memory only. Refusals are
    in Serf's words, whatever the cipher's are. `pool` is for the log: LAN or WAN.
    """

    def __init__(self, cipher: Cipher, path: Path | None, pool: str) -> None:
        self._cipher = cipher
        self._path = path
        self._pool = pool
        self.seal = cipher.seal
        self.open = cipher.open
        self.keys = cipher.keys

    @property
    def overhead(self) -> int:
        """The cipher's."""
        return self._cipher.overhead

    def install(self, key: bytes) -> None:
        """Add a key that opens."""
        if key not in self.keys():
            self._change(lambda: self._cipher.install(key), "a key was installed")

    def use(self, key: bytes) -> None:
        """Make an installed key the primary."""
        if key not in self.keys():
            raise CipherError(KEY_NOT_INSTALLED)
        if key != self.keys()[0]:
            self._change(lambda: self._cipher.use(key), "another key is the primary")

    def remove(self, key: bytes) -> None:
        """Forget a key."""
        if key == self.keys()[0]:
            raise CipherError(KEY_IS_PRIMARY)
        if key in self.keys():
            self._change(lambda: self._cipher.remove(key), "a key was removed")

    def _change(self, change: Callable[[], None], what: str) -> None:
        before = tuple(self.keys())
        change()
        if self._path is not None:
            try:
                write_keyring(self._path, self.keys())
            except OSError as error:
                set_ring(self._cipher, before)
                with suppress(OSError):  # the file may be in its place already, and only not be safe there
                    write_keyring(self._path, before)
                logger.error("the keyring file %s cannot be written, its change is undone: %s", self._path, error)
                reason = error.strerror or str(error)
                raise CipherError(f"Failed to write keyring file: {self._path}: {reason}") from error
        logger.info("%s keyring: %s, keys in all: %d", self._pool, what, len(self.keys()))


def open_keyring(
    make: Callable[[bytes | None], Cipher], name: str, *, encrypt: bytes | None, data_dir: Path | None
) -> Keyring:
    """The ring with which a pool starts: the one that was kept, else the agent file's, which is then kept.

    `make` makes the cipher from the agent file's `encrypt`; `name` is the file's. Raises PluginStartError for a file
    that cannot be read or written, and whatever `make` raises where nobody has a key.
    """
    pool = _POOLS[name]
    path = data_dir / name if data_dir is not None else None
    kept = read_keyring(path) if path is not None else None
    if kept is None:
        cipher = make(encrypt)
        if path is not None:
            try:
                write_keyring(path, cipher.keys())
            except OSError as error:
                raise PluginStartError(f"cannot keep the gossip keys in {path}: {error.strerror}") from error
        return Keyring(cipher, path, pool)
    assert path is not None
    try:
        cipher = make(encrypt or kept[0])
    except CipherError as error:
        if encrypt is not None:
            raise
        raise _unusable(path, str(error)) from error
    configured = cipher.keys()
    missing = [key for key in configured if key not in kept]
    if missing:
        source = "-encrypt" if encrypt in missing else "the cipher block"
        logger.warning(
            "keyring doesn't include key provided with %s, using keyring: keyring=%s file=%s", source, pool, path
        )
    try:
        set_ring(cipher, kept)
    except CipherError as error:
        raise _unusable(path, str(error)) from error
    return Keyring(cipher, path, pool)


def set_ring(cipher: Cipher, ring: Sequence[bytes]) -> None:
    """Give a cipher exactly these keys in this order. Raises CipherError for one that it does not take."""
    primary, *others = cipher.keys()
    for key in others:
        if key not in ring:
            cipher.remove(key)
    for key in ring:
        cipher.install(key)
    for key in reversed(ring):
        cipher.use(key)
    if primary not in ring:
        cipher.remove(primary)


# --- the file ---


def read_keyring(path: Path) -> list[bytes] | None:
    """The keys, primary first; None where there is no file.

    Raises PluginStartError, with the reason, for a file from which no ring can be made: to start with other keys than
    the pool's, or with none, would be worse. No key is shown.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PluginStartError(f"cannot read the gossip keys in {path}: {error.strerror}") from error
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        raise _unusable(path, "not JSON") from None
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise _unusable(path, "not a list of texts")
    if not entries:
        raise _unusable(path, "no keys present in keyring")
    try:
        keys = [base64.b64decode(entry, validate=True) for entry in entries]
    except (binascii.Error, ValueError):
        raise _unusable(path, "a key is not base64") from None
    return list(dict.fromkeys(keys))


def _unusable(path: Path, reason: str) -> PluginStartError:
    return PluginStartError(
        f"the gossip keys in {path} cannot be used: {reason}; restore the file, or remove it to start with the agent "
        "file's keys"
    )


def write_keyring(path: Path, keys: Sequence[bytes]) -> None:
    """Replace the file by renaming, so that a crash leaves the old ring or the new one. Raises OSError."""
    text = json.dumps([base64.b64encode(key).decode() for key in keys], indent=2)
    temporary = path.with_name(path.name + ".tmp")
    path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE), "wb") as file:
            os.fchmod(file.fileno(), FILE_MODE)  # one that a crash left may have another
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def keeps_keys(data_dir: Path) -> bool:
    """Whether an agent with this data directory has started with keys before."""
    for name in (LAN_KEYRING, WAN_KEYRING):
        with suppress(OSError, ValueError):
            if (data_dir / name).is_file():
                return True
    return False
