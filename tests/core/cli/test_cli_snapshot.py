"""`snapshot save`, `restore` and `inspect`: Consul's texts, and files that are whole or not there."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from consul_kernel.cli.commands.snapshot_inspect import format_size
from core.cli.conftest import Run
from core.cli.fake_http_agent import FakeHttpAgent
from core.snapshot.archives import REAL, pack

KEPT = "Kept, but not acted on by consul-kernel: FederationState (1)\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "backup.snap"


@pytest.fixture
def real(file: Path) -> Path:
    file.write_bytes(REAL)
    return file


# --- save ---


def test_save(run: Run, http_agent: FakeHttpAgent, file: Path) -> None:
    http_agent.answer("GET /v1/snapshot", REAL)
    http_agent.headers["X-Consul-Index"] = "228"
    ran = run("snapshot", "save", str(file))
    assert (ran.code, ran.out, ran.err) == (0, "Saved and verified snapshot to index 228\n", "")
    assert file.read_bytes() == REAL
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["backup.snap"]


def test_save_asks_as_it_is_told(run: Run, http_agent: FakeHttpAgent, file: Path) -> None:
    http_agent.answer("GET /v1/snapshot?dc=dc2&stale=", REAL)
    assert run("snapshot", "save", "-stale", "-datacenter=dc2", "-token=secret", str(file)).code == 0
    assert http_agent.asked[0].headers["X-Consul-Token"] == "secret"


@pytest.mark.parametrize("archive", [b"", b"nonsense", REAL[:-1], REAL[:3000]])
def test_an_archive_that_is_damaged_gets_no_name(
    run: Run, http_agent: FakeHttpAgent, file: Path, archive: bytes
) -> None:
    file.write_bytes(b"the one before")
    http_agent.answer("GET /v1/snapshot", archive)
    ran = run("snapshot", "save", str(file))
    assert ran.code == 1
    assert ran.err.startswith("Error verifying snapshot file: ")
    assert file.read_bytes() == b"the one before"
    assert [path.name for path in file.parent.iterdir()] == ["backup.snap"]


def test_what_the_agent_refuses_is_told(run: Run, http_agent: FakeHttpAgent, file: Path) -> None:
    http_agent.answer("GET /v1/snapshot", b"No cluster leader", status=500)
    ran = run("snapshot", "save", str(file))
    assert (ran.code, ran.err) == (1, "Error saving snapshot: Unexpected response code: 500 (No cluster leader)\n")
    assert not list(file.parent.iterdir())
    ran = run("snapshot", "save", "-http-addr=127.0.0.1:1", str(file))
    assert ran.err == "Error saving snapshot: GET http://127.0.0.1:1/v1/snapshot: connection refused\n"


def test_a_place_that_cannot_be_written_is_told(run: Run, http_agent: FakeHttpAgent, file: Path) -> None:
    http_agent.answer("GET /v1/snapshot", REAL)
    ran = run("snapshot", "save", str(file / "x"))
    assert ran.code == 1
    assert ran.err.startswith("Error writing snapshot file: No such file or directory: ")


# --- restore ---


def test_restore(run: Run, http_agent: FakeHttpAgent, real: Path) -> None:
    http_agent.answer("PUT /v1/snapshot", b"")
    ran = run("snapshot", "restore", str(real))
    assert (ran.code, ran.out, ran.err) == (0, "Restored snapshot\n", KEPT)
    assert http_agent.asked[0].body == REAL


def test_a_damaged_archive_is_not_sent(run: Run, http_agent: FakeHttpAgent, file: Path) -> None:
    for damaged in (REAL[:-1], pack(b"\x81\xa9LastIndex\x01\x02\xc1")):
        file.write_bytes(damaged)
        ran = run("snapshot", "restore", str(file))
        assert (ran.code, ran.out) == (1, "")
        assert ran.err.startswith("Error restoring snapshot: ")
    assert not http_agent.asked


def test_a_restore_that_is_refused_is_told(run: Run, http_agent: FakeHttpAgent, real: Path) -> None:
    http_agent.answer("PUT /v1/snapshot?dc=dc2", b"No path to datacenter", status=500)
    ran = run("snapshot", "restore", "-datacenter", "dc2", str(real))
    assert (ran.code, ran.err) == (
        1,
        "Error restoring snapshot: Unexpected response code: 500 (No path to datacenter)\n",
    )


# --- inspect ---


def test_inspect(run: Run, real: Path) -> None:
    ran = run("snapshot", "inspect", str(real))
    assert (ran.code, ran.err) == (0, KEPT)
    assert ran.out == (
        " ID           2-228-1795419111940\n"
        " Size         233557\n"
        " Index        228\n"
        " Term         2\n"
        " Version      1\n"
        "\n"
        " Type                       Count      Size\n"
        " ----                       ----       ----\n"
        " KVS                        205        212.3KB\n"
        " Register                   25         13.4KB\n"
        " PreparedQuery              2          596B\n"
        " ConfigEntry                2          510B\n"
        " Index                      14         364B\n"
        " Session                    2          359B\n"
        " Autopilot                  1          201B\n"
        " CoordinateBatchUpdate      1          155B\n"
        " FederationState            1          139B\n"
        " Tombstone                  1          72B\n"
        " ChunkingState              1          12B\n"
        " ----                       ----       ----\n"
        " Total                                 228.1KB\n"
    )


def test_inspect_tells_what_keys_take(run: Run, real: Path) -> None:
    ran = run("snapshot", "inspect", "-kvdetails", "-kvdepth=1", "-kvfilter=app", str(real))
    assert ran.out.split("\n\n")[2] == (
        " Key Name      Count      Size\n"
        " ----          ----       ----\n"
        " app           200        16.3KB\n"
        " ----          ----       ----\n"
        " Total                    16.3KB\n"
    )


def test_inspect_as_json(run: Run, real: Path) -> None:
    ran = run("snapshot", "inspect", "-format=json", "-kvdetails", str(real))
    document = json.loads(ran.out)
    assert ran.out.startswith('{\n   "Meta": {\n      "ID": "2-228-1795419111940",\n')
    assert document["Stats"][0] == {"Name": "KVS", "Sum": 217402, "Count": 205}
    assert document["TotalSize"] == 233557 == sum(each["Sum"] for each in document["Stats"])
    assert document["TotalSizeKV"] == 217402 == sum(each["Sum"] for each in document["StatsKV"])
    ran = run("snapshot", "inspect", "-format=json", str(real))
    assert json.loads(ran.out)["StatsKV"] is None


def test_inspect_of_what_is_no_archive(run: Run, file: Path) -> None:
    ran = run("snapshot", "inspect", str(file))
    assert (ran.code, ran.err) == (1, f"Error opening snapshot file: No such file or directory: {file}\n")
    file.write_bytes(REAL[:100])
    ran = run("snapshot", "inspect", str(file))
    assert ran.code == 1
    assert ran.err.startswith("Error reading snapshot: ")
    ran = run("snapshot", "inspect", "-format=xml", str(file))
    assert ran.err == "Error outputting enhanced snapshot data: Unknown format: xml\n"


@pytest.mark.parametrize("command", ["save", "restore", "inspect"])
def test_one_file_is_wanted(run: Run, command: str) -> None:
    assert run("snapshot", command).err == "Missing FILE argument\n"
    assert run("snapshot", command, "a", "b").err == "Too many arguments (expected 1, got 2)\n"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0"), (1, "1B"), (1023, "1023B"), (1024, "1KB"), (12345, "12.1KB"), (5 << 20, "5MB"), (3 << 50, "3072TB")],
)
def test_sizes(size: int, text: str) -> None:
    assert format_size(size) == text


def test_a_name_that_is_none_of_a_file_is_refused(run: Run) -> None:
    assert run("snapshot", "save", "").err == "'.' is no name of a file\n"
