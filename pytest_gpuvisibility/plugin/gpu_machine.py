"""A simulated machine in a test: run programs on it, ask what they touched, change it in the middle."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeAlias

from ..environment import MACHINE_VARIABLE, MASK, ORDER, OUTER, PROBE_VARIABLE, describe_mask
from ..errors import UserError
from ..host import cleanup
from ..inventory import COMPUTE_MODES, AnyDevice, Device, Inventory, label
from ..masks import Mask, resolve, written
from ..simulator import KernelLaunches, LedgerRecord, Machine
from . import asserts, called
from .asserts import GpuProcess, TouchedDevices
from .gpu_run import GpuCall, GpuRun, ProgramFailed
from .machines import Machines
from .memory_holder import MemoryHolder, hold
from .own_process import OwnProcess

PCI_ORDER = "PCI_BUS_ID"


class Inherit(enum.Enum):
    """The default of ``visible`` and ``device_order``: what the test itself has."""

    INHERITED = "inherited"


INHERITED = Inherit.INHERITED
MaskArgument: TypeAlias = Mask | Inherit | None


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
        self.own_process: OwnProcess | None = None
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
        device_order: str | Inherit | None = INHERITED,
        environ: Mapping[str, str] | None = None,
    ) -> dict[str, str]:
        """The environment for a program of one's own on this machine, as ``subprocess.Popen(..., env=...)`` takes it.

        :param visible, device_order: CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER exactly as the program gets them; None:
            not set. By default as they are for the test. ``visible`` may be a number, a device, or a list of those too.
        :param environ: further variables.
        """
        return self._environ(self._machine, visible, device_order, environ)

    def run(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        visible: MaskArgument = INHERITED,
        device_order: str | Inherit | None = INHERITED,
        environ: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        check: bool = True,
    ) -> GpuRun:
        """Run a program on this machine to its end, and see what it and its children did to the driver.

        The parameters are those of :meth:`environ`. Its standard input is empty.

        :param timeout: seconds.
        :param check: it must end well, with exit code 0; False for a program that is to fail.
        :raises ProgramFailed: it did not, a ``subprocess.CalledProcessError`` with its last words.
        :raises subprocess.TimeoutExpired: it ran longer; it and its process group are killed.
        :raises FileNotFoundError: there is no such program.
        """
        __tracebackhide__ = True
        run = self._run(_words(command), visible, device_order, environ, timeout)
        if check and run.returncode != 0:
            raise ProgramFailed(run)
        return run

    def call(
        self,
        function: Callable[..., Any],
        /,
        *arguments: Any,
        visible: MaskArgument = INHERITED,
        device_order: str | Inherit | None = INHERITED,
        environ: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        **keywords: Any,
    ) -> GpuCall:
        """Run a Python function on this machine, in a process of its own in which nothing of CUDA was loaded before.

        Any function will do, one inside the test too; what it takes and returns is pickled. The other parameters are
        those of :meth:`run`. What it raises is raised here.

        Example::

            def test_the_second_gpu_alone(gpu_machine):
                def count():
                    import torch
                    return torch.cuda.device_count()

                call = gpu_machine.call(count, visible=1)
                assert call.value == 1
                assert call.touched <= {gpu_machine.devices[1]}

        :raises UserError: something that it takes cannot be pickled.
        :raises ProgramFailed: the process ended before the function did.
        """
        __tracebackhide__ = True
        try:
            payload = called.payload(function, arguments, keywords)
        except TypeError as error:
            raise UserError(
                f"gpu_machine.call: {_name(function)} cannot be taken to another process, with what it refers to and is"
                f" given: {error}. Give it plain values; it cannot use the test's fixtures."
            ) from None
        place = self._machine.directory / "calls" / str(next(self._numbers))
        place.mkdir(parents=True)
        given, result = place / "given", place / "result"
        given.write_bytes(payload)
        command = [sys.executable, called.__file__, str(given), str(result)]
        run = self._run(command, visible, device_order, environ, timeout)
        run = dataclasses.replace(run, command=(_name(function),))
        try:
            value = called.value_of(result)
        except EOFError:
            raise ProgramFailed(run) from None
        fields = {field.name: getattr(run, field.name) for field in dataclasses.fields(run)}
        return GpuCall(**fields, value=value)

    def _run(
        self,
        words: Sequence[str],
        visible: MaskArgument,
        device_order: str | Inherit | None,
        environ: Mapping[str, str] | None,
        timeout: float,
    ) -> GpuRun:
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
        self,
        machine: Machine,
        visible: MaskArgument,
        device_order: str | Inherit | None,
        environ: Mapping[str, str] | None,
    ) -> dict[str, str]:
        base = {**os.environ}
        if base.get(MACHINE_VARIABLE) != str(self._machine.directory):  # the test itself is on another machine
            _put(base, MASK, self.visible)
            _put(base, ORDER, self.device_order)
        base.pop(OUTER, None)
        if not isinstance(visible, Inherit):
            _put(base, MASK, None if visible is None else written(visible))
        if not isinstance(device_order, Inherit):
            _put(base, ORDER, device_order)
        return {**machine.environ(base), **self._machines.mark, **(environ or {})}

    # ---- what happened ----

    @property
    def ledger(self) -> tuple[LedgerRecord, ...]:
        """What the driver recorded on this machine so far, oldest first, whoever started the program.

        :raises UserError: the test's own process keeps what it has of CUDA on another machine with the same GPUs.
        """
        if self.own_process is not None:
            self.own_process.check_is_on(self._machine)
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
    def touched(self) -> TouchedDevices:
        """The devices that any process has touched so far."""
        return TouchedDevices.of(self)

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

    def __reduce__(self) -> NoReturn:
        raise TypeError("gpu_machine belongs to its test's own process")

    def __repr__(self) -> str:
        count = len(self.devices)
        gpus = "no GPU" if not count else f"{count} GPU{'' if count == 1 else 's'}"
        return f"<GpuMachine {self.inventory.name}, {gpus}, {describe_mask(self.environ().get(MASK))}>"

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
        holder, refusal = hold(mebibytes, self.environ(visible=unit.uuid, environ={PROBE_VARIABLE: "1"}))
        if holder is None:
            raise UserError(
                f"gpu_machine.occupy: no process can hold {mebibytes} MiB of {label(unit)} ({unit.uuid}) now:"
                f" {refusal}. gpu_machine.snapshot() says what is used and by whom."
            )
        self._holders.append(holder)
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


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", repr(function)))


def _words(command: Sequence[str | os.PathLike[str]]) -> list[str]:
    if isinstance(command, (str, bytes)) or not command:
        raise UserError(
            f"gpu_machine.run({command!r}): give the program and its arguments as a list, such as"
            ' [sys.executable, "-m", "myserver"].'
        )
    return [os.fspath(word) for word in command]
