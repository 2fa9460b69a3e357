"""`consul-kernel validate`: every mistake at once, those inside plugin blocks included."""

from __future__ import annotations

from pathlib import Path

import pytest

from consul_kernel.cli.main import main


def validate(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    file = tmp_path / "agent.hcl"
    file.write_text(f'data_dir = "{tmp_path}/data"\n' + text)
    code = main(["validate", str(file)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_good_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = validate(tmp_path, 'server = true\nstore "memory" {}\n', capsys)
    assert (code, out, err) == (0, "Configuration is valid!\n", "")
    assert not (tmp_path / "data").exists(), "validating touches nothing"


def test_mistakes_inside_plugin_blocks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = 'server = true\nstore "disk" {\n  segment_byte = 4\n}\ninterface "http" {\n  grace_ms = "x"\n}\n'
    code, out, err = validate(tmp_path, text, capsys)
    assert (code, out) == (1, "")
    assert 'agent.hcl:4: store "disk".segment_byte: unknown key; did you mean "segment_bytes"?' in err
    assert 'agent.hcl:7: interface "http".grace_ms: expected a whole number' in err


def test_a_plugin_that_is_not_installed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = validate(tmp_path, 'server = true\nstore "dsk" {}\n', capsys)
    assert code == 1
    assert "no store plugin named 'dsk' is installed (installed: disk, memory); did you mean 'disk'?" in err


def test_mistakes_of_every_sort_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = 'server = true\ndatacentre = "x"\nstore "dsk" {}\ncipher "nacl" {\n  kye = 1\n}\n'
    code, _, err = validate(tmp_path, text, capsys)
    assert code == 1
    assert 'agent.hcl:3: datacentre: unknown key; did you mean "datacenter"?' in err
    assert "agent.hcl:4: store \"dsk\": no store plugin named 'dsk'" in err
    assert 'agent.hcl:6: cipher "nacl".kye: unknown key' in err


def test_a_cipher_needs_a_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = validate(tmp_path, 'cipher "nacl" {}\n', capsys)
    assert code == 1
    assert 'agent.hcl:2: cipher "nacl" has no key: set `key` in its block' in err
    key = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="
    assert validate(tmp_path, f'encrypt = "{key}"\ncipher "nacl" {{}}\n', capsys)[0] == 0
    kept = tmp_path / "data" / "serf" / "local.keyring"
    kept.parent.mkdir(parents=True)
    kept.write_text(f'["{key}"]')
    assert validate(tmp_path, 'cipher "nacl" {}\n', capsys)[0] == 0


def test_a_client_needs_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, _ = validate(tmp_path, 'store "of-some-server" {}\n', capsys)
    assert code == 0


def test_a_consensus_of_one_server_expects_no_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = validate(tmp_path, 'server = true\nbootstrap_expect = 3\nconsensus "solo" {}\n', capsys)
    assert code == 1
    text = "it is for one server alone, and cannot wait for bootstrap_expect = 3"
    assert f'agent.hcl:4: consensus "solo": {text}' in err
    assert validate(tmp_path, 'server = true\nbootstrap_expect = 1\nconsensus "solo" {}\n', capsys)[0] == 0
