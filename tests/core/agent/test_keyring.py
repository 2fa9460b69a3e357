"""A pool's keys outlive the process, and memory and file always agree."""

from __future__ import annotations

import base64
import errno
import itertools
import json
import logging
import os
import random
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from consul_kernel.agent.composition import Parts
from consul_kernel.agent.keyring import LAN_KEYRING, WAN_KEYRING, Keyring, keeps_keys, open_keyring, set_ring
from consul_kernel.config.load import ConfigSource, load_config
from consul_kernel.config.model import AgentConfig
from consul_kernel.contracts.cipher import Cipher
from consul_kernel.contracts.errors import CipherError, PluginStartError
from consul_kernel.contracts.membership import GossipEvent
from consul_kernel.contracts.plugin import PluginKind
from consul_kernel.plugins import PluginManager
from consul_kernel.testing.cipher_kit import CipherContractTests, MakeCipher
from consul_kernel_aes_gcm.cipher import AesGcmCipher
from consul_kernel_nacl.cipher import NaclCipher

A, B, C, D = (bytes([number]) * 32 for number in range(1, 5))


def text(key: bytes) -> str:
    return base64.b64encode(key).decode()


def written(path: Path) -> list[bytes]:
    return [base64.b64decode(entry) for entry in json.loads(path.read_bytes())]


def make(encrypt: bytes | None) -> Cipher:
    """A cipher whose block has no key."""
    if encrypt is None:
        raise PluginStartError("has no key")
    return AesGcmCipher([encrypt])


def opened(data_dir: Path | None, encrypt: bytes | None = None) -> Keyring:
    return open_keyring(make, LAN_KEYRING, encrypt=encrypt, data_dir=data_dir)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / LAN_KEYRING


class TestKeyring(CipherContractTests):
    @pytest.fixture(params=[AesGcmCipher, NaclCipher])
    def make_cipher(self, request: pytest.FixtureRequest, tmp_path: Path) -> MakeCipher:
        numbers = iter(range(100))
        return lambda key: Keyring(request.param([key]), tmp_path / f"{next(numbers)}" / "local.keyring", "LAN")


def test_the_first_start_keeps_the_agent_files_key(tmp_path: Path, path: Path) -> None:
    ring = opened(tmp_path, A)
    assert list(ring.keys()) == [A]
    assert path.read_text() == f'[\n  "{text(A)}"\n]'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["local.keyring"]


def test_every_change_is_there_after_a_restart(tmp_path: Path, path: Path) -> None:
    ring = opened(tmp_path, A)
    ring.install(B)
    ring.install(C)
    assert written(path) == [A, B, C]
    ring.use(C)
    assert path.read_text() == f'[\n  "{text(C)}",\n  "{text(A)}",\n  "{text(B)}"\n]'
    ring.remove(A)
    again = opened(tmp_path)
    assert list(again.keys()) == [C, B]
    assert again.open(AesGcmCipher([B]).seal(b"old")) == b"old"
    assert AesGcmCipher([C]).open(again.seal(b"new")) == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_was_kept_goes_before_encrypt_and_that_is_said(
    tmp_path: Path, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened(tmp_path, A).install(B)
    caplog.clear()
    assert list(opened(tmp_path, B).keys()) == [A, B]
    assert not caplog.records
    assert list(opened(tmp_path, C).keys()) == [A, B]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        f"keyring doesn't include key provided with -encrypt, using keyring: keyring=LAN file={path}"
    )
    assert written(path) == [A, B]


def test_keys_of_the_block_that_were_not_kept_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    opened(tmp_path, A)
    ring = open_keyring(lambda _: NaclCipher([B, A, C]), LAN_KEYRING, encrypt=None, data_dir=tmp_path)
    assert list(ring.keys()) == [A]
    assert "keyring doesn't include key provided with the cipher block, using keyring" in caplog.text


def test_without_a_file_changes_live_in_memory(tmp_path: Path) -> None:
    ring = opened(None, A)
    ring.install(B)
    ring.use(B)
    ring.remove(A)
    assert list(ring.keys()) == [B]
    assert not list(tmp_path.iterdir())


def test_no_key_anywhere_is_the_ciphers_to_complain_of(tmp_path: Path) -> None:
    with pytest.raises(PluginStartError, match="has no key"):
        opened(tmp_path)
    assert not keeps_keys(tmp_path)


def test_refusals_are_in_serfs_words_and_change_nothing(tmp_path: Path, path: Path) -> None:
    ring = open_keyring(lambda _: NaclCipher([A]), LAN_KEYRING, encrypt=A, data_dir=tmp_path)
    before = path.stat().st_mtime_ns
    refusals: tuple[tuple[Callable[[bytes], None], bytes, str], ...] = (
        (ring.use, B, "Requested key is not in the keyring"),
        (ring.remove, A, "Removing the primary key is not allowed"),
        (ring.install, b"short", "key size must be 16, 24 or 32 bytes"),
    )
    for action, key, said in refusals:
        with pytest.raises(CipherError, match=f"^{said}$"):
            action(key)
    ring.install(A)
    ring.use(A)
    ring.remove(B)
    assert (list(ring.keys()), written(path), path.stat().st_mtime_ns) == ([A], [A], before)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not JSON"),
        (b'["AAAA', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"key": "a"}', "not a list of texts"),
        (b"[1]", "not a list of texts"),
        (b"[]", "no keys present in keyring"),
        (b'["c2VjcmV0IQ"]', "a key is not base64"),
        (b'["\xc3\xa9"]', "a key is not base64"),
        (b'["c2VjcmV0"]', "key size must be 16, 24 or 32 bytes"),
    ],
)
def test_a_damaged_file_refuses_the_start_and_is_left_as_it_is(
    tmp_path: Path, path: Path, content: bytes, reason: str
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(PluginStartError) as caught:
        opened(tmp_path, A)
    assert str(caught.value) == (
        f"the gossip keys in {path} cannot be used: {reason}; restore the file, or remove it to start with the agent "
        "file's keys"
    )
    assert "c2VjcmV0" not in str(caught.value)
    assert path.read_bytes() == content


def test_a_damaged_file_is_named_also_where_the_agent_file_has_no_key(tmp_path: Path, path: Path) -> None:
    path.parent.mkdir()
    path.write_text('["c2VjcmV0"]')
    with pytest.raises(PluginStartError, match=f"the gossip keys in {path} cannot be used: key size must be"):
        opened(tmp_path)


def test_a_file_that_cannot_be_read_or_written_refuses_the_start(tmp_path: Path, path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(PluginStartError, match=f"cannot read the gossip keys in {path}: Is a directory"):
        opened(tmp_path, A)
    path.rmdir()
    path.parent.rmdir()
    path.parent.write_bytes(b"")
    with pytest.raises(PluginStartError, match=f"the gossip keys in {path}: Not a directory"):
        opened(tmp_path, A)


class Faults:
    """Breaks one system call of the next write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def full_disk(self, name: str) -> None:
        sync = os.fsync

        def fail(*_: Any, **__: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def fail_for_folders(descriptor: int) -> None:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                fail()
            sync(descriptor)

        if name == "fsync of the folder":
            self._monkeypatch.setattr(os, "fsync", fail_for_folders)
        else:
            self._monkeypatch.setattr(Path if name == "replace" else os, name, fail)

    def mend(self) -> None:
        self._monkeypatch.undo()


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    return Faults(monkeypatch)


@pytest.mark.parametrize("call", ["open", "fsync", "replace", "fsync of the folder"])
@pytest.mark.parametrize("operation", ["install", "use", "remove"])
def test_a_change_that_cannot_be_written_is_undone(
    tmp_path: Path, path: Path, faults: Faults, call: str, operation: str
) -> None:
    ring = opened(tmp_path, A)
    for key in (B, C):
        ring.install(key)
    key = {"install": D, "use": C, "remove": B}[operation]
    faults.full_disk(call)
    with pytest.raises(CipherError, match=f"Failed to write keyring file: {path}: No space left on device"):
        getattr(ring, operation)(key)
    faults.mend()
    assert list(ring.keys()) == written(path) == [A, B, C]
    assert [entry.name for entry in path.parent.iterdir()] == ["local.keyring"]
    getattr(ring, operation)(key)
    assert list(ring.keys()) == written(path) != [A, B, C]


def test_what_a_crash_left_behind_is_replaced(tmp_path: Path, path: Path) -> None:
    opened(tmp_path, A)
    half = path.with_name("local.keyring.tmp")
    half.write_bytes(b'["AA')
    half.chmod(0o644)
    ring = opened(tmp_path)
    ring.install(B)
    assert written(path) == [A, B]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not half.exists()


@pytest.mark.parametrize("ring", [[A], [D], [C, A, B], [D, C]])
@pytest.mark.parametrize("before", [[A], [A, B, C], [B, D]])
def test_a_ring_is_set_whole(before: Sequence[bytes], ring: Sequence[bytes]) -> None:
    for cipher in (AesGcmCipher(before), NaclCipher(before)):
        set_ring(cipher, ring)
        assert list(cipher.keys()) == ring


class KeyringMachine(RuleBasedStateMachine):
    """Any changes, some of which cannot be written, and restarts between them."""

    home: ClassVar[Path]
    numbers: ClassVar[Iterator[int]] = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.folder = self.home / f"{next(self.numbers)}"
        self.model = [A]
        self.ring = opened(self.folder, A)

    @rule(
        operation=st.sampled_from(("install", "use", "remove")),
        key=st.sampled_from((A, B, C, D, b"short")),
        fault=st.sampled_from(("", "", "fsync", "replace", "fsync of the folder")),
    )
    def change(self, operation: str, key: bytes, fault: str) -> None:
        wanted = {
            "install": self.model if key in self.model else [*self.model, key],
            "use": [key, *(other for other in self.model if other != key)],
            "remove": [other for other in self.model if other != key],
        }[operation]
        legal = {"install": len(key) == 32, "use": key in self.model, "remove": key != self.model[0]}[operation]
        with pytest.MonkeyPatch.context() as monkeypatch:
            if fault:
                Faults(monkeypatch).full_disk(fault)
            try:
                getattr(self.ring, operation)(key)
            except CipherError:
                assert not legal or (fault and wanted != self.model)
            else:
                assert legal
                assert not fault or wanted == self.model
                self.model = wanted

    @rule(encrypt=st.sampled_from((None, A, D)))
    def restart(self, encrypt: bytes | None) -> None:
        self.ring = opened(self.folder, encrypt)

    @invariant()
    def memory_file_and_model_agree(self) -> None:
        assert list(self.ring.keys()) == written(self.folder / LAN_KEYRING) == self.model


def test_memory_and_file_agree_after_any_changes(tmp_path: Path) -> None:
    KeyringMachine.home = tmp_path
    run_state_machine_as_test(KeyringMachine, settings=settings(max_examples=30, stateful_step_count=12))


# --- which ring an agent's pools get ---


def parts(config: str) -> Parts:
    loaded = load_config([ConfigSource(text=config, name="agent.hcl")])
    return make_parts(loaded)


def make_parts(config: AgentConfig) -> Parts:
    def ignore(event: GossipEvent) -> None:
        """Nobody listens."""

    return Parts(config, PluginManager(), node_id="", rng=random.Random(1), on_event=ignore, on_wan_event=ignore)


def test_each_pool_has_a_ring_and_a_file_of_its_own(tmp_path: Path) -> None:
    made = parts(f'data_dir = "{tmp_path}"\nencrypt = "{text(A)}"')
    lan, wan = made._make_cipher(LAN_KEYRING), made._make_cipher(WAN_KEYRING)
    assert lan is not None
    assert wan is not None
    lan.install(B)
    assert (list(lan.keys()), list(wan.keys())) == ([A, B], [A])
    assert (written(tmp_path / LAN_KEYRING), written(tmp_path / WAN_KEYRING)) == ([A, B], [A])


def test_gossip_stays_sealed_when_encrypt_is_taken_out_of_the_file(tmp_path: Path) -> None:
    file = f'data_dir = "{tmp_path}"\n'
    parts(f'{file}encrypt = "{text(A)}"')
    ring = parts(file)._make_cipher(LAN_KEYRING)
    assert ring is not None
    assert list(ring.keys()) == [A]
    assert parts(f"{file}disable_keyring_file = true")._make_cipher(LAN_KEYRING) is None
    assert parts(f'{file}cipher "nacl" {{ enabled = false }}')._make_cipher(LAN_KEYRING) is None
    ring = parts(f'{file}cipher "aes-gcm" {{}}')._make_cipher(LAN_KEYRING)
    assert ring is not None
    assert ring.overhead == AesGcmCipher([A]).overhead


def test_disable_keyring_file_neither_reads_nor_writes(tmp_path: Path) -> None:
    path = tmp_path / LAN_KEYRING
    path.parent.mkdir()
    path.write_text("damaged")
    ring = parts(f'data_dir = "{tmp_path}"\ndisable_keyring_file = true\nencrypt = "{text(A)}"')._make_cipher(
        LAN_KEYRING
    )
    assert ring is not None
    ring.install(B)
    assert list(ring.keys()) == [A, B]
    assert path.read_text() == "damaged"


def test_an_agent_in_dev_mode_keeps_nothing(tmp_path: Path) -> None:
    file = ConfigSource(text=f'data_dir = "{tmp_path}"\nencrypt = "{text(A)}"', name="agent.hcl")
    config = load_config([file], {"dev_mode": True})
    assert config.plugins[PluginKind.CIPHER].name == "nacl"
    made = make_parts(config)
    assert made._make_cipher(LAN_KEYRING) is not None
    assert not keeps_keys(tmp_path)


def test_the_switches_for_a_rolling_introduction_reach_the_pool() -> None:
    made = parts(
        f'encrypt = "{text(A)}"\ndata_dir = ""\nencrypt_verify_incoming = false\nencrypt_verify_outgoing = false'
    )
    context = made.membership._context  # type: ignore[attr-defined]
    assert (context.verify_incoming, context.verify_outgoing) == (False, False)
    assert isinstance(context.cipher, Cipher)
