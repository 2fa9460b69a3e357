"""docs/writing-a-plugin.md is followed to the letter: its package is built, tested, installed, chosen and asked.

A file of the page is a code block with its path in front; a line `$ COMMAND` in a console block is run, and the lines
behind it must be among what it says, in that order.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from consul_kernel import plugins
from consul_kernel.contracts.plugin import PluginKind
from harness.agents import Cluster, free_ports

PAGE = (Path(__file__).parents[3] / "docs" / "writing-a-plugin.md").read_text(encoding="utf-8")

_FILE = re.compile(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)
_CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_PORT = "8700"
_TOOLS = {
    "python": 'exec {python} "$@"',
    "consul-kernel": 'exec {python} -m consul_kernel.cli.main "$@"',
    "pytest": 'exec {python} -m pytest -p no:cacheprovider "$@"',
    # Nothing is fetched: what the package needs is what runs this test.
    "pip": "exec {outer} -m pip --python {python} install --no-deps --no-index --no-build-isolation --quiet .",
    "nc": 'exec {python} -c "import socket, sys\n'
    "link = socket.create_connection(sys.argv[3:5]); link.sendall(sys.stdin.buffer.read()); link.shutdown(1)\n"
    'while data := link.recv(4096): sys.stdout.buffer.write(data)" "$@"',
}


class Step(NamedTuple):
    """One command of the page, and what it is said to say."""

    command: str
    lines: list[str]


def steps() -> list[Step]:
    """Every command of the page's console blocks, in order."""
    found = []
    for block in _CONSOLE.findall(PAGE):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *lines = part.splitlines()
            found.append(Step(command, lines))
    return found


class Reader:
    """Somebody who follows the page, in a folder and with tools of their own."""

    def __init__(self, folder: Path, python: Path) -> None:
        self.folder = folder / "acme-kv-lines"
        self._bin = folder / "tools"
        self._bin.mkdir()
        for name, script in _TOOLS.items():
            tool = self._bin / name
            tool.write_text("#!/bin/sh\n" + script.format(python=python, outer=sys.executable) + "\n")
            tool.chmod(0o755)
        for path, text in _FILE.findall(PAGE):
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        (agent_file,) = re.findall(r"```hcl\n(.*?)```", PAGE, re.DOTALL)
        (self.folder / "agent.hcl").write_text(agent_file)
        (self.folder / "typo.hcl").write_text('interface "lines" {\nalow_stale = true\nconnections_max = 0\n}\n')
        (self.folder / "other.hcl").write_text('interface "line" {}\n')

    def follow(self, step: Step, **environment: str) -> None:
        """Run a command as the page has it; what it says must be what the page says."""
        path = f"{self._bin}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["/bin/sh", "-c", step.command],
            cwd=self.folder,
            env={**os.environ, "PATH": path, "COLUMNS": "80", "PYTEST_ADDOPTS": "", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=90,
        )
        said = done.stdout.splitlines()
        assert [line for line in said if line in step.lines] == step.lines, f"{step.command}:\n{done.stdout}"


def test_the_page_can_be_followed(tmp_path: Path, cluster: Cluster, bare_python: Path) -> None:
    reader = Reader(tmp_path, bare_python)
    alone = [step for step in steps() if not re.search(r"\bkv put\b|\bnc\b", step.command)]
    # The table of keys stands before the step that installs the package.
    for step in sorted(alone, key=lambda step: not step.command.startswith("pip ")):
        reader.follow(step)

    (port,) = free_ports(1)
    lines = {"lines": {"port": port, "allow_stale": True}}
    agent = cluster.agent("lines", python=str(bare_python), server=True, bootstrap=True, interface=lines).start()
    agent.wait_leader()
    asked = [step for step in steps() if step not in alone]
    assert len(asked) == 2
    for command, said in asked:
        reader.follow(Step(command.replace(_PORT, str(port)), said), CONSUL_HTTP_ADDR=agent.http)
    assert "acme_kv_lines: lines on lines are now answered by" in agent.log_text()


@pytest.mark.parametrize("kind", list(PluginKind))
def test_the_page_and_the_contracts_name_group_and_hook(kind: PluginKind) -> None:
    contract = Path(__file__).parents[3] / "docs" / "contracts" / f"{kind}.md"
    for text in (PAGE, contract.read_text(encoding="utf-8")):
        assert f"`{kind.entry_point_group}`" in text
        assert f"`{kind.register_hook}`" in text
        assert f"{kind}_kit`" in text


def test_the_texts_of_errors_are_those_of_the_plugin_manager() -> None:
    assert plugins.__file__ is not None
    source = Path(plugins.__file__).read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \| .* \|$", PAGE.partition("## What errors look like")[2], re.MULTILINE)
    assert len(rows) == 8
    assert [text for text in rows if text not in source] == []
