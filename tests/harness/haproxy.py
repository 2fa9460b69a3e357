"""Debian's `haproxy`, a load balancer that learns its servers from SRV records."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

from .agents import free_ports

# Debian has it where only root's path looks.
HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
HOW_TO_INSTALL = "HAProxy is not installed on this machine: apt-get install haproxy"
UP = "2"
MAINTENANCE = 0x01 | 0x02 | 0x04 | 0x20
"""By the administrator, inherited, by the configuration, and because the name does not resolve."""

CONFIG = """
global
    stats socket {socket} level admin
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
    option redispatch
    retries 3
resolvers agent
    nameserver agent {nameserver}
    accepted_payload_size 4096
    timeout resolve 100ms
    timeout retry 500ms
    hold valid 100ms
    hold nx 100ms
frontend front
    bind 127.0.0.1:{port}
    default_backend web
backend web
    balance roundrobin
    server-template web {slots} {name} resolvers agent resolve-prefer ipv4 init-addr none check inter 200ms fall 1
"""


class HAProxy:
    """An `haproxy` process whose backend `web` has as many servers as a DNS name has SRV records."""

    def __init__(self, home: Path, nameserver: str, name: str, *, slots: int) -> None:
        """`nameserver` is `udp@ip:port` or `tcp@ip:port`; more instances than `slots` are not used."""
        assert HAPROXY is not None
        (port,) = free_ports(1)
        self.address = f"127.0.0.1:{port}"
        self._socket = home / "haproxy.sock"
        config = home / "haproxy.cfg"
        config.write_text(CONFIG.format(socket=self._socket, nameserver=nameserver, port=port, slots=slots, name=name))
        self.log = home / "haproxy.log"
        self._log_file = self.log.open("wb")
        self._process = subprocess.Popen(
            [HAPROXY, "-db", "-f", str(config)], stdout=self._log_file, stderr=subprocess.STDOUT
        )

    def command(self, text: str) -> str:
        """What HAProxy answers to a command on its stats socket; OSError when it does not."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(5)
            connection.connect(str(self._socket))
            connection.sendall(f"{text}\n".encode())
            answer = b""
            while received := connection.recv(65_536):
                answer += received
        return answer.decode()

    def servers(self) -> dict[int, dict[str, str]]:
        """The servers that are in use, by port: each with the columns of `show servers state`."""
        lines = self.command("show servers state web").splitlines()
        header = next(line for line in lines if line.startswith("# ")).removeprefix("# ").split()
        rows = [
            dict(zip(header, line.split(), strict=False)) for line in lines if line[:1].isdigit() and " web " in line
        ]
        return {
            int(row["srv_port"]): row
            for row in rows
            if row["srv_op_state"] == UP and not int(row["srv_admin_state"]) & MAINTENANCE
        }

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._log_file.close()
