"""An agent's node id outlives it, and a file that cannot be used is named."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from consul_kernel.agent.identity import NODE_ID_FILE, load_node_id
from consul_kernel.contracts.errors import PluginStartError

GIVEN = "6a0a1e4e-4a4f-4f0e-9d5e-2f3a5c1b7d90"


def test_a_new_id_is_made_once_and_kept(tmp_path: Path) -> None:
    first = load_node_id("", tmp_path / "data")
    assert str(uuid.UUID(first)) == first
    assert load_node_id("", tmp_path / "data") == first
    assert [path.name for path in (tmp_path / "data").iterdir()] == [NODE_ID_FILE]


def test_a_configured_id_goes_before_the_kept_one(tmp_path: Path) -> None:
    load_node_id("", tmp_path)
    assert load_node_id(GIVEN, tmp_path) == GIVEN
    assert load_node_id("", tmp_path) == GIVEN


def test_without_a_data_directory_nothing_is_kept() -> None:
    assert load_node_id("", None) != load_node_id("", None)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff\xfe"])
def test_a_file_without_an_id_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NODE_ID_FILE).write_bytes(content)
    with pytest.raises(PluginStartError, match=NODE_ID_FILE):
        load_node_id("", tmp_path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / NODE_ID_FILE).mkdir()
    with pytest.raises(PluginStartError, match=NODE_ID_FILE):
        load_node_id("", tmp_path)


def test_a_write_that_is_cut_off_leaves_the_id_that_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_node_id("", tmp_path)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(PluginStartError, match="No space left on device"):
        load_node_id(GIVEN, tmp_path)
    assert load_node_id("", tmp_path) == before
