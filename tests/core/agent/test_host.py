"""What an agent says of its host, with what the system tells and without."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from consul_kernel.agent import host


def test_the_document_has_gopsutils_names() -> None:
    told = json.loads(json.dumps(host.describe_host()))
    assert list(told) == ["Memory", "CPU", "Host", "Disk", "CollectionTime", "Errors"]
    assert told["Errors"] is None
    assert told["Memory"]["total"] == psutil.virtual_memory().total
    assert 0 < told["Memory"]["usedPercent"] < 100
    assert len(told["CPU"]) == psutil.cpu_count()
    assert told["Host"]["procs"] > 0
    assert told["Disk"]["path"] == "/"
    assert told["CollectionTime"] > 1_600_000_000_000_000_000


def test_what_the_system_does_not_tell_is_empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("_MEMINFO", "_CPUINFO", "_MACHINE_ID"):
        monkeypatch.setattr(host, name, tmp_path / "absent")
    told = host.describe_host()
    assert told["Errors"] is None
    assert told["Memory"]["slab"] == 0
    assert told["CPU"][0]["modelName"] == ""
    assert told["Host"]["hostid"] == ""


def test_a_part_that_cannot_be_read_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: str) -> None:
        raise PermissionError("not allowed")

    monkeypatch.setattr(psutil, "disk_usage", refuse)
    told = host.describe_host()
    assert (told["Disk"], told["Errors"]) == (None, ["not allowed"])
    assert told["Memory"]["total"] > 0
