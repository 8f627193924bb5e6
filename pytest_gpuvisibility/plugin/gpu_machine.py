"""A simulated machine in a test: run programs on it, ask what they touched, change it in the middle."""

from __future__ import annotations

import contextlib
import enum
import itertools
import os
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..environment import MACHINE_VARIABLE, MASK, ORDER, OUTER, PROBE_VARIABLE
from ..errors import UserError
from ..host import cleanup
from ..inventory import COMPUTE_MODES, AnyDevice, Device, Inventory, driver_client, label
from ..masks import resolve
from ..simulator import KernelLaunches, LedgerRecord, Machine
from . import asserts
from .asserts import GpuProcess
from .machines import Machines

PCI_ORDER = "PCI_BUS_ID"


class Inherit(enum.Enum):
    """The default of ``visible`` and ``device_order``: what the test itself has."""

    INHERITED = "inherited"


INHERITED = Inherit.INHERITED
MaskArgument: TypeAlias = str | Inherit | None


@dataclass(frozen=True)
class GpuRun:
    """What became of a program, and which devices it and its descendants touched.

    ``touched``: the devices on which a process opened a context or allocated memory. ``permitted``: what the mask that
    it was started under shows, in CUDA's order. ``processes``: each process that initialised the driver. ``records``:
    the raw ledger. A process that outlives the program adds nothing more.
    """

    command: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    inventory: Inventory
    permitted: tuple[AnyDevice, ...]
    processes: tuple[GpuProcess, ...]
    records: tuple[LedgerRecord, ...]

    @property
    def touched(self) -> frozenset[AnyDevice]:
        return frozenset(device for process in self.processes for device in process.touched)

    def assert_touched_only(self, devices: Iterable[AnyDevice] | None = None) -> None:
        """Fail, with a table of processes and devices, if one that is not among ``devices`` was touched.

        :param devices: by default those that the mask permits.
        """
        __tracebackhide__ = True
        asserts.assert_touched_only(self, devices)

    def assert_nothing_touched(self) -> None:
        """Fail, with a table of processes and devices, if any device was touched."""
        __tracebackhide__ = True
        asserts.assert_nothing_touched(self)


class MemoryHolder:
    """Another process that holds memory of a device, until :meth:`release` or the machine's end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def release(self) -> None:
        """End the process; its memory is free when this returns."""
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> MemoryHolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class GpuMachine:
    """A simulated machine that starts idle: no process, no fault, its own ledger."""

    def __init__(
        self,
        inventory: Inventory,
        machines: Machines,
        visible: str | None = None,
        device_order: str | None = PCI_ORDER,
        kernel_launches: str = "error",
    ) -> None:
        """:param visible, device_order: the two variables for programs, unless a test or a call says otherwise.
        :param kernel_launches: what a kernel launch does: ``error`` or ``noop``.
        """
        self.inventory = inventory
        self.visible = visible
        self.device_order = device_order
        self.asked_for: str | None = None
        self._machines = machines
        self._machine = machines.new(inventory, kernel_launches)
        self._runs: list[Machine] = []
        self._numbers = itertools.count(1)
        self._holders: list[MemoryHolder] = []

    @property
    def devices(self) -> tuple[Device, ...]:
        """Its GPUs by index, in PCI order, as it was built; :meth:`snapshot` says how they are now."""
        return self.inventory.devices

    @property
    def simulated(self) -> Machine:
        """The machine underneath."""
        return self._machine

    @property
    def mark(self) -> dict[str, str]:
        """The variable that tells its programs from others, for cleaning up after a crash."""
        return self._machines.mark

    # ---- programs ----

    def environ(
        self,
        *,
        visible: MaskArgument = INHERITED,
        device_order: MaskArgument = INHERITED,
        environ: Mapping[str, str] | None = None,
    ) -> dict[str, str]:
        """The environment for a program of one's own on this machine, as ``subprocess.Popen(..., env=...)`` takes it.

        :param visible, device_order: CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER exactly as the program gets them; None:
            not set. By default as they are for the test.
        :param environ: further variables.
        """
        return self._environ(self._machine, visible, device_order, environ)

    def run(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        visible: MaskArgument = INHERITED,
        device_order: MaskArgument = INHERITED,
        environ: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> GpuRun:
        """Run a program on this machine to its end, and see what it and its children did to the driver.

        The parameters are those of :meth:`environ`. Its standard input is empty.

        :param timeout: seconds.
        :raises subprocess.TimeoutExpired: it ran longer; it and its process group are killed.
        :raises FileNotFoundError: there is no such program.
        """
        words = _words(command)
        alias = self._alias()
        environment = self._environ(alias, visible, device_order, environ)
        with subprocess.Popen(
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as child:
            try:
                stdout, stderr = child.communicate(timeout=timeout)
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                raise
        records = tuple(alias.ledger.records())
        permitted = resolve(environment.get(MASK), self.inventory, device_order=environment.get(ORDER)).devices
        processes = asserts.processes_of(records, self.inventory)
        return GpuRun(tuple(words), child.returncode, stdout, stderr, self.inventory, permitted, processes, records)

    def _alias(self) -> Machine:
        """This machine under another name, with a ledger of its own: whatever runs beside does not count."""
        own = self._machine.directory
        directory = own / "runs" / str(next(self._numbers))
        directory.mkdir(parents=True)
        for name in ("state", "bin", "inventory.json"):
            (directory / name).symlink_to(own / name)
        self._runs.append(Machine(directory, self.inventory, self._machine.kernel_launch_policy))
        return self._runs[-1]

    def _environ(
        self, machine: Machine, visible: MaskArgument, device_order: MaskArgument, environ: Mapping[str, str] | None
    ) -> dict[str, str]:
        base = {**os.environ}
        if base.get(MACHINE_VARIABLE) != str(self._machine.directory):  # the test itself is on another machine
            _put(base, MASK, self.visible)
            _put(base, ORDER, self.device_order)
        base.pop(OUTER, None)
        for name, value in ((MASK, visible), (ORDER, device_order)):
            if not isinstance(value, Inherit):
                _put(base, name, value)
        return {**machine.environ(base), **self._machines.mark, **(environ or {})}

    # ---- what happened ----

    @property
    def ledger(self) -> tuple[LedgerRecord, ...]:
        """What the driver recorded on this machine so far, oldest first, whoever started the program."""
        records = [record for machine in (self._machine, *self._runs) for record in machine.ledger.records()]
        return tuple(sorted(records, key=lambda record: record.time))

    @property
    def processes(self) -> tuple[GpuProcess, ...]:
        """Each process that initialised the driver on this machine so far."""
        return asserts.processes_of(self.ledger, self.inventory)

    @property
    def permitted(self) -> tuple[AnyDevice, ...]:
        """What the mask that programs get by default shows, in CUDA's order."""
        environ = self.environ()
        return resolve(environ.get(MASK), self.inventory, device_order=environ.get(ORDER)).devices

    @property
    def touched(self) -> frozenset[AnyDevice]:
        """The devices that any process has touched so far."""
        return frozenset(device for process in self.processes for device in process.touched)

    def snapshot(self) -> dict[str, Any]:
        """The machine as it is now: ``{"devices": [{"index", "uuid", "memory", "used", "compute_mode", "faults", ...}],
        "processes": [{"pid", "unit_uuid", "contexts", "bytes"}], ...}``; memory in bytes, living processes only.
        """
        return self._machine.snapshot()

    def assert_touched_only(self, devices: Iterable[AnyDevice] | None = None) -> None:
        """As :meth:`GpuRun.assert_touched_only`, for all processes so far."""
        __tracebackhide__ = True
        asserts.assert_touched_only(self, devices)

    def assert_nothing_touched(self) -> None:
        """As :meth:`GpuRun.assert_nothing_touched`, for all processes so far."""
        __tracebackhide__ = True
        asserts.assert_nothing_touched(self)

    @property
    def kernel_launches(self) -> KernelLaunches:
        """How many kernel launches were skipped or refused so far: ``.skipped``, ``.refused``."""
        return KernelLaunches.on(self._machine)

    # ---- changes in the middle ----

    def lose(self, device: Device | int) -> None:
        """A GPU falls off the bus: at once for NVML, and for CUDA in programs that start from now on."""
        self._add_fault(device, "lost")

    def make_sick(self, device: Device | int) -> None:
        """Every question to NVML about this GPU fails from now on (NVML_ERROR_UNKNOWN); CUDA goes on."""
        self._add_fault(device, "nvml-unknown")

    def heal(self, device: Device | int) -> None:
        """Take back :meth:`lose` and :meth:`make_sick`, and any fault of the inventory."""
        self._machine.set_faults(self._index(device), ())

    def set_compute_mode(self, device: Device | int, mode: str) -> None:
        """Let any process use a GPU (``default``), one at a time (``exclusive-process``), or none (``prohibited``).

        :raises UserError: another mode.
        """
        if mode not in COMPUTE_MODES:
            raise UserError(f"gpu_machine.set_compute_mode(mode={mode!r}): it is one of {', '.join(COMPUTE_MODES)}.")
        self._machine.set_compute_mode(self._index(device), mode)

    def set_kernel_launch_policy(self, policy: str) -> None:
        """Let kernel launches fail from now on (``error``), or succeed without anything being computed (``noop``).

        :raises UserError: another word.
        """
        self._machine.set_kernel_launch_policy(policy)

    def occupy(self, device: AnyDevice | int, mebibytes: int) -> MemoryHolder:
        """Let another process hold so much of a device's memory, beside the 450 MiB of its CUDA context.

        The process is not in the ledger; it ends with ``release()``, as a context manager, or with the machine.

        :raises UserError: CUDA refuses, for instance because there is not so much memory.
        """
        if type(mebibytes) is not int or mebibytes < 0:
            raise UserError(f"gpu_machine.occupy(mebibytes={mebibytes!r}): give a whole number of MiB, 0 or more.")
        unit = self.devices[self._index(device)] if isinstance(device, int) else self._own(device)
        environment = self.environ(visible=unit.uuid, environ={PROBE_VARIABLE: "1"})
        process = subprocess.Popen(
            driver_client.command("hold", str(mebibytes)),
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        holder = MemoryHolder(process)
        self._holders.append(holder)
        assert process.stdout is not None
        answer = process.stdout.readline().strip()
        if answer != "held":
            holder.release()
            raise UserError(
                f"gpu_machine.occupy: no process can hold {mebibytes} MiB of {label(unit)} ({unit.uuid}) now:"
                f" {answer or 'the process died'}. gpu_machine.snapshot() says what is used and by whom."
            )
        return holder

    def _add_fault(self, device: Device | int, fault: str) -> None:
        index = self._index(device)
        now = self._machine.snapshot()["devices"][index]["faults"]
        self._machine.set_faults(index, {*now, fault})

    def _index(self, device: AnyDevice | int) -> int:
        if type(device) is int and 0 <= device < len(self.devices):
            return device
        if isinstance(device, Device):
            return self._own(device).index
        there = f"0-{len(self.devices) - 1}" if self.devices else "none"
        raise UserError(
            f"gpu_machine: {device!r} is no GPU of inventory {self.inventory.name}. Use one of gpu_machine.devices, or"
            f" an index ({there})."
        )

    def _own(self, device: AnyDevice) -> AnyDevice:
        return self.inventory.by_uuid(device.uuid)

    # ---- its end ----

    def close(self) -> None:
        """End every program that still runs on it, and remove it."""
        for holder in self._holders:
            holder.release()
        own = self._machine.ledger.path
        if self._runs or own.exists():
            places = [str(machine.directory) for machine in (self._machine, *self._runs)]
            cleanup.kill_marked(places, MACHINE_VARIABLE)
        self._machine.close()


def _put(environ: dict[str, str], name: str, value: str | None) -> None:
    environ.pop(name, None)
    if value is not None:
        environ[name] = value


def _words(command: Sequence[str | os.PathLike[str]]) -> list[str]:
    if isinstance(command, (str, bytes)) or not command:
        raise UserError(
            f"gpu_machine.run({command!r}): give the program and its arguments as a list, such as"
            ' [sys.executable, "-m", "myserver"].'
        )
    return [os.fspath(word) for word in command]
