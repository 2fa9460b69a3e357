"""`kv`: what is asked over HTTP, what is printed, and the exit codes."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest

from core.cli.conftest import Run
from core.cli.fake_http_agent import FakeHttpAgent


def pair(key: str, value: bytes = b"v", **others: Any) -> dict[str, Any]:
    encoded = base64.b64encode(value).decode() if value else None
    indexes = {"CreateIndex": 5, "Flags": 0, "LockIndex": 0, "ModifyIndex": 7}
    return {"Key": key, "Value": encoded, **indexes, **others}


def test_get_prints_the_value(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("GET /v1/kv/a/b", [pair("a/b", b"hello")])
    ran = run("kv", "get", "/a/b")
    assert (ran.code, ran.out, ran.err) == (0, "hello\n", "")


def test_get_adds_a_line_end_to_whatever_the_value_ends_in(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("GET /v1/kv/a", [pair("a", "é\n".encode())])
    assert run("kv", "get", "a").out == "é\n\n"


def test_get_of_an_empty_value_prints_an_empty_line(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("GET /v1/kv/a", [pair("a", b"")])
    assert run("kv", "get", "a").out == "\n"


def test_get_of_a_missing_key(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("GET /v1/kv/a", b"", status=404)
    ran = run("kv", "get", "a")
    assert (ran.code, ran.out, ran.err) == (1, "", "Error! No key exists at: a\n")


def test_get_base64(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("GET /v1/kv/a", [pair("a", b"hello")])
    assert run("kv", "get", "-base64", "a").out == "aGVsbG8=\n"


def test_get_detailed_aligns_its_columns(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("GET /v1/kv/a", [pair("a", b"hello")])
    assert run("kv", "get", "-detailed", "a").out == (
        "CreateIndex      5\n"
        "Flags            0\n"
        "Key              a\n"
        "LockIndex        0\n"
        "ModifyIndex      7\n"
        "Session          -\n"
        "Value            hello\n"
    )


def test_get_recurse(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("GET /v1/kv/a?recurse=", [pair("a/1", b"x"), pair("a/2", b"y")])
    assert run("kv", "get", "-recurse", "a").out == "a/1:x\na/2:y\n"
    detailed = run("kv", "get", "-recurse", "-detailed", "a").out
    assert detailed.count("ModifyIndex      7") == 2
    assert "x\n\nCreateIndex" in detailed


def test_get_recurse_of_nothing_is_no_error(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("GET /v1/kv/?recurse=", b"", status=404)
    ran = run("kv", "get", "-recurse")
    assert (ran.code, ran.out) == (0, "")


def test_get_keys_stops_at_the_separator(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("GET /v1/kv/a/?keys=&separator=%2F", ["a/1", "a/b/"])
    http_agent.answer("GET /v1/kv/a/?keys=", ["a/1", "a/b/c"])
    assert run("kv", "get", "-keys", "a/").out == "a/1\na/b/\n"
    assert run("kv", "get", "-keys", "-separator=", "a/").out == "a/1\na/b/c\n"


def test_get_takes_datacenter_and_stale(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("GET /v1/kv/a?dc=dc2&stale=", [pair("a", b"far")])
    assert run("kv", "get", "-datacenter=dc2", "-stale", "a").out == "far\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("get",), "Error! Missing KEY argument"),
        (("get", "a", "-recurse"), "Too many arguments (expected 1, got 2)"),
        (("put",), "Error! Missing KEY argument"),
        (("put", "a", "b", "c"), "Error! Too many arguments (expected 1 or 2, got 3)"),
        (("put", "-base64", "a", "%"), "Error! Cannot base 64 decode data: "),
        (("put", "a", "@/nope/none"), "Error! Failed to read file: No such file or directory: /nope/none"),
        (("put", "-acquire", "a"), "Error! Missing -session (required with -acquire and -release)"),
        (("delete",), "Error! Missing KEY argument"),
        (("delete", "a", "b"), "Too many arguments (expected 1, got 2)"),
        (("delete", "-cas", "-recurse", "a"), "Cannot specify both -cas and -recurse!"),
        (("delete", "-cas", "a"), "Must specify a -modify-index greater than 0 with -cas!"),
        (("delete", "-modify-index=3", "a"), "Cannot specify -modify-index without -cas!"),
        (("import",), "Error! Missing DATA argument"),
        (("import", "not json"), "Error! Cannot unmarshal data: "),
        (("import", '{"key": "a"}'), "Error! Cannot unmarshal data: "),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_asked(
    run: Run, http_agent: FakeHttpAgent, arguments: tuple[str, ...], text: str
) -> None:
    ran = run("kv", *arguments)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(text)
    assert http_agent.asked == []


def test_put_writes_data(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("PUT /v1/kv/a", True)
    ran = run("kv", "put", "a", "data")
    assert (ran.code, ran.out) == (0, "Success! Data written to: a\n")
    assert http_agent.asked[0].body == b"data"


def test_put_without_data_writes_nothing(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("PUT /v1/kv/a", True)
    assert run("kv", "put", "a").code == 0
    assert http_agent.asked[0].body == b""


def test_put_reads_files_and_standard_input(
    run: Run, http_agent: FakeHttpAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    http_agent.answer("PUT /v1/kv/a", True)
    (tmp_path / "data").write_bytes(b"\x00\xff")
    run("kv", "put", "a", f"@{tmp_path / 'data'}")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"piped\n")))
    run("kv", "put", "a", "-")
    run("kv", "put", "-base64", "a", "aGk=")
    assert [asked.body for asked in http_agent.asked] == [b"\x00\xff", b"piped\n", b"hi"]


def test_put_quotes_keys(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("PUT /v1/kv/a%20b/%3F%23%C3%A9", True)
    assert run("kv", "put", "a b/?#é", "x").out == "Success! Data written to: a b/?#é\n"


@pytest.mark.parametrize(
    ("arguments", "target", "done", "refused"),
    [
        (("-flags=42",), "?flags=42", "Data written to: a", "Did not write to a"),
        (("-cas", "-modify-index=7"), "?cas=7", "Data written to: a", "Did not write to a: CAS failed"),
        (("-cas",), "?cas=0", "Data written to: a", "Did not write to a: CAS failed"),
        (("-acquire", "-session=s"), "?acquire=s", "Lock acquired on: a", "Did not acquire lock"),
        (("-release", "-session=s"), "?release=s", "Lock released on: a", "Did not release lock"),
    ],
)
def test_put_says_whether_it_was_done(
    run: Run, http_agent: FakeHttpAgent, arguments: tuple[str, ...], target: str, done: str, refused: str
) -> None:
    http_agent.answer(f"PUT /v1/kv/a{target}", True)
    ran = run("kv", "put", *arguments, "a", "b")
    assert (ran.code, ran.out, ran.err) == (0, f"Success! {done}\n", "")
    http_agent.answer(f"PUT /v1/kv/a{target}", False)
    ran = run("kv", "put", *arguments, "a", "b")
    assert (ran.code, ran.out, ran.err) == (1, "", f"Error! {refused}\n")


def test_delete(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("DELETE /v1/kv/a", True)
    http_agent.answer("DELETE /v1/kv/a?recurse=", True)
    http_agent.answer("DELETE /v1/kv/a?cas=3", False)
    assert run("kv", "delete", "a").out == "Success! Deleted key: a\n"
    assert run("kv", "delete", "-recurse", "a").out == "Success! Deleted keys with prefix: a\n"
    ran = run("kv", "delete", "-cas", "-modify-index=3", "a")
    assert (ran.code, ran.err) == (1, "Error! Did not delete key a: CAS failed\n")


def test_export_is_what_import_reads(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("GET /v1/kv/a?recurse=", [pair("a/1", b"x", Flags=9), pair("a/2", b"")])
    exported = run("kv", "export", "a").out
    assert json.loads(exported) == [
        {"key": "a/1", "flags": 9, "value": "eA=="},
        {"key": "a/2", "flags": 0, "value": ""},
    ]
    http_agent.answer("PUT /v1/kv/a/1?flags=9", True)
    http_agent.answer("PUT /v1/kv/a/2", True)
    assert run("kv", "import", exported).out == "Imported: a/1\nImported: a/2\n"
    assert [asked.body for asked in http_agent.asked[1:]] == [b"x", b""]


def test_import_takes_a_prefix_and_stops_at_an_error(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("PUT /v1/kv/p/a", True)
    data = json.dumps(
        [{"key": "a", "flags": 0, "value": "eA=="}, {"key": "b", "flags": 0, "value": ""}, {"key": "c", "value": ""}]
    )
    ran = run("kv", "import", "-prefix=p/", data)
    assert (ran.code, ran.out) == (1, "Imported: p/a\n")
    assert ran.err.startswith("Error! Failed writing data for key p/b: Unexpected response code: 500")
    assert http_agent.targets() == ["PUT /v1/kv/p/a", "PUT /v1/kv/p/b"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("get", "a"), "Error querying Consul agent: "),
        (("get", "-keys", "a"), "Error querying Consul agent: "),
        (("put", "a", "b"), "Error! Failed writing data: "),
        (("put", "-cas", "a", "b"), "Error! Did not write to a: "),
        (("delete", "a"), "Error! Did not delete key a: "),
        (("delete", "-recurse", "a"), "Error! Did not delete prefix a: "),
        (("export",), "Error querying Consul agent: "),
    ],
)
def test_what_the_agent_refuses_is_said(
    run: Run, http_agent: FakeHttpAgent, arguments: tuple[str, ...], text: str
) -> None:
    ran = run("kv", *arguments)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"{text}Unexpected response code: 500 (nobody said what to answer)\n"
    assert len(http_agent.asked) == 1
