"""Run one program on a simulated machine, and say at the end who touched what."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from ..environment import MASK
from ..errors import UserError
from ..host import SessionDirectory, written_whole
from ..inventory import AnyDevice, Inventory
from . import device_nodes
from .kernel_launches import KernelLaunches
from .machine import Machine
from .touch_table import TouchTable

FORWARDED = (signal.SIGTERM, signal.SIGHUP)
SKIPPING = "--launch noop"
"""How ``gpu-visibility run`` is told to skip kernel launches."""
BEYOND_THE_MASK = 1
NOT_FOUND = 127
"""What a shell answers for a program that is not there."""


def run_program(
    program: Sequence[str],
    inventory: Inventory,
    *,
    visible: str | None = None,
    kernel_launches: str = "error",
    nvidia_smi: bool = True,
    own_device_nodes: bool = False,
    audit: Path | None = None,
    permitted: Collection[AnyDevice],
    strict: bool = False,
) -> int:
    """Run ``program``; its exit code, 128 + signal where one killed it, 127 where it does not exist.

    Its standard streams are its own; the table of who touched what goes to stderr after it has ended.
    ``permitted``: what its mask shows; the table marks what else was touched, and with ``strict`` the exit code is 1
    then if it would be 0. ``own_device_nodes``: its /dev has the nodes of its GPUs and no other of NVIDIA's.

    :raises UserError: the ledger cannot be kept at ``audit``, or the caller may not give a program a /dev of its own.
    """
    if audit is not None and not audit.absolute().parent.is_dir():
        raise UserError(
            f"--audit={audit}: there is no directory {audit.absolute().parent}. Create it, or write elsewhere."
        )
    if own_device_nodes and (why_not := device_nodes.why_not()):
        raise UserError(f"--device-nodes: {why_not}. Run it as root, or without --device-nodes.")
    wrapper = device_nodes.wrapper(device.minor for device in inventory.devices) if own_device_nodes else []
    with (
        SessionDirectory() as room,
        Machine.create(
            inventory, room.path / "machine", kernel_launches=kernel_launches, questions=audit is not None
        ) as machine,
    ):
        environ = machine.environ(os.environ, nvidia_smi=nvidia_smi)
        if visible is not None:
            environ[MASK] = visible
        code = _run(program, environ, wrapper)
        said = [f"gpu-visibility: {sentence}" for sentence in KernelLaunches.on(machine).sentences(SKIPPING)]
        table = TouchTable(machine.ledger.records(), inventory, permitted)
        print("\n".join([*table.lines(kernel_launches), *said]), file=sys.stderr)
        if audit is not None:
            _keep(machine.directory / "ledger.jsonl", audit)
    return BEYOND_THE_MASK if strict and not code and table.out_of_bounds else code


def _run(program: Sequence[str], environ: dict[str, str], wrapper: Sequence[str]) -> int:
    found = shutil.which(program[0], path=environ.get("PATH"))
    if found is None:
        print(f"gpu-visibility: error: {program[0]}: no such program on PATH", file=sys.stderr)
        return NOT_FOUND
    with subprocess.Popen([*wrapper, found, *program[1:]], env=environ) as child, _signals_forwarded(child):
        while True:
            try:
                code = child.wait()
                return code if code >= 0 else 128 - code
            except KeyboardInterrupt:
                continue  # the terminal sent it to the child as well: its exit code is what counts


@contextmanager
def _signals_forwarded(child: subprocess.Popen[bytes]) -> Iterator[None]:
    def forward(number: int, frame: FrameType | None) -> None:
        child.send_signal(number)

    before = {number: signal.signal(number, forward) for number in FORWARDED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _keep(ledger: Path, audit: Path) -> None:
    with written_whole(audit) as draft:
        draft.touch()
        if ledger.exists():  # no program wrote one that never came to the driver
            shutil.copyfile(ledger, draft)
