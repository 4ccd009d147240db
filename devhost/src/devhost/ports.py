"""Listening ports on loopback, and the process that holds a taken one."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from pathlib import Path

from devhost.errors import PortTakenError

HOST = "127.0.0.1"
RPC_BASE = "/durabletask/"
"""Path of the API for the SDK's durable client."""
_LISTENING = "0A"
"""The state of a listening socket in /proc/net/tcp."""


def open_port(port: int) -> socket.socket:
    """A listening socket; port 0 is any free one. Raises PortTakenError."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise PortTakenError(_why(port, error)) from error
    return listener


def _why(port: int, error: OSError) -> str:
    if error.errno != errno.EADDRINUSE:
        return f"port {port} cannot be used: {error.strerror}; choose another one with --port"
    return (
        f"Port {port} is unavailable: {holder(port) or 'another process'} uses it."
        " Close the process using that port, or specify another port using --port."
    )


def holder(port: int) -> str | None:
    """Number and name of the process that listens on a port, if /proc shows it (own processes only)."""
    with suppress(OSError):
        inodes = _listening_inodes(port)
        for process in Path("/proc").iterdir():
            if process.name.isdigit() and _has_socket(process, inodes):
                return f"process {process.name} ({(process / 'comm').read_text().strip()})"
    return None


def _listening_inodes(port: int) -> set[str]:
    """Inodes of the sockets in /proc/net/tcp and tcp6: columns local address, …, state, …, inode."""
    found = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (Path("/proc/net") / table).read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == _LISTENING and int(columns[1].rpartition(":")[2], 16) == port:
                    found.add(columns[9])
    return found


def _has_socket(process: Path, inodes: set[str]) -> bool:
    with suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with suppress(OSError):
                if str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]") in inodes:
                    return True
    return False
