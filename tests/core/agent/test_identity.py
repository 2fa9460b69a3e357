"""The node id is kept, and a file that holds none stops the start with its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from consul_kernel.agent.identity import NODE_ID_FILE, load_node_id
from consul_kernel.contracts.errors import PluginStartError


def test_an_id_is_made_once_and_kept(tmp_path: Path) -> None:
    first = load_node_id("", tmp_path / "data")
    assert load_node_id("", tmp_path / "data") == first
    assert load_node_id("", None) != first


@pytest.mark.parametrize("content", [b"", b"none", b"\xff\xfe\x00"])
def test_a_file_without_an_id_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NODE_ID_FILE).write_bytes(content)
    with pytest.raises(PluginStartError, match=r"node-id: .* is not a UUID"):
        load_node_id("", tmp_path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / NODE_ID_FILE).mkdir()
    with pytest.raises(PluginStartError, match=r"cannot read the node id in .*node-id: Is a directory"):
        load_node_id("", tmp_path)
