"""The network, cut off: a connection to anything but this machine fails, and fails the test that tried."""

import socket
from typing import Any

_connect = socket.socket.connect
LOOPBACK = ("127.", "::1", "localhost")


def cut_off() -> None:
    """Let this process, and what it forks, connect to its own machine only."""
    socket.socket.connect = _checked  # type: ignore[method-assign, assignment]


def _checked(self: socket.socket, address: Any) -> None:
    away = self.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith(LOOPBACK)
    if away:
        raise AssertionError(f"a connection to {address} was tried: tests and the sample need no network")
    _connect(self, address)
