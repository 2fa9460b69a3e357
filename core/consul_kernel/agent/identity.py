"""An agent's lasting identity: its node id, kept in the data directory."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from consul_kernel.contracts.errors import PluginStartError

NODE_ID_FILE = "node-id"


def load_node_id(configured: str, data_dir: Path | None) -> str:
    """The configured id, else the one kept in the data directory, else a new one that is kept there.

    Raises PluginStartError where the file cannot be read or holds no UUID.
    """
    path = data_dir / NODE_ID_FILE if data_dir is not None else None
    if configured:
        node_id = _parsed(configured, "node_id")
    elif path is not None and path.exists():
        return _parsed(_read(path), str(path))
    else:
        node_id = str(uuid.uuid4())
    if path is not None:
        _keep(path, node_id)
    return node_id


def _keep(path: Path, node_id: str) -> None:
    """Replaced by renaming: a crash must not leave a file that stops every start to come."""
    temporary = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as file:
            file.write(node_id)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise PluginStartError(f"cannot keep the node id in {path}: {error.strerror}") from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="backslashreplace").strip()
    except OSError as error:
        raise PluginStartError(f"cannot read the node id in {path}: {error.strerror}") from error


def _parsed(text: str, source: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise PluginStartError(f"{source}: {text!r} is not a UUID") from None
