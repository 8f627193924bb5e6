"""TCP ports that no other scenario on this machine takes."""

from __future__ import annotations

import contextlib
import errno
import random
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

BLOCK = 16
"""Ports are reserved in blocks of so many, aligned: one lock each."""
FIRST_PORT = 12_288
LAST_PORT = 32_768
"""Ports from FIRST_PORT to below LAST_PORT, and below those that the kernel gives to clients."""


class Ports:
    """Consecutive TCP ports that no other scenario takes, and that were free when they were reserved.

    ``locks``: descriptors; the reservation holds until :meth:`release`, and until all that inherited them are
    gone.
    """

    def __init__(self, first: int, count: int, locks: Sequence[socket.socket]) -> None:
        self.first = first
        self.count = count
        self._locks = locks

    @classmethod
    def reserve(cls, count: int) -> Ports:
        """:raises OSError: no such range is free."""
        blocks = -(-count // BLOCK)
        starts = list(range(FIRST_PORT, _end_of_range() - blocks * BLOCK + 1, BLOCK))
        random.shuffle(starts)
        for start in starts:
            ports = cls(start, count, _lock_blocks(start, blocks))
            if ports.locks and all(map(_is_free, ports)):
                return ports
            ports.release()
        raise OSError(
            errno.EADDRINUSE,
            f"no {count} consecutive ports are free from {FIRST_PORT} to {_end_of_range() - 1}",
        )

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.first + self.count))

    @property
    def locks(self) -> list[int]:
        return [lock.fileno() for lock in self._locks]

    def release(self) -> None:
        for lock in self._locks:
            lock.close()
        self._locks = ()


def _lock_blocks(start: int, blocks: int) -> list[socket.socket]:
    """All of them or none."""
    locks = []
    for block in range(blocks):
        # A name in Linux' abstract namespace: like a port, and unlike a file, it belongs to the machine or
        # container, whatever the user and TMPDIR, and the kernel removes it.
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        locks.append(lock)
        try:
            lock.bind(f"\0gpu-visibility/ports/{start + block * BLOCK}")
        except OSError:
            for taken in locks:
                taken.close()
            return []
    return locks


def _end_of_range() -> int:
    with contextlib.suppress(OSError, ValueError):
        ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        if ephemeral > FIRST_PORT + 64 * BLOCK:
            return min(ephemeral, LAST_PORT)
    return LAST_PORT


def _is_free(port: int) -> bool:
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((address, port))
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                return False
    return True
