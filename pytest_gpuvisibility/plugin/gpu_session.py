"""Which machine and which of its devices a pytest session runs on, and the environment that says so.

What options ask for is applied once, in the process that the user started, before any conftest is imported;
pytest-xdist workers inherit the result. Whatever is changed in ``os.environ`` is changed back by
:meth:`GpuSession.undo`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..environment import MACHINE_VARIABLE, MASK, ORDER, OUTER, XDIST_WORKER, restore
from ..errors import UserError
from ..host import SessionDirectory
from ..inventory import DEFAULT_INVENTORY, REAL, Inventory, real_gpus_answer
from ..masks import Visibility, narrow, resolve
from ..simulator import Machine
from .options import Setting


@dataclass
class GpuSession:
    """A machine and what is visible of it: where tests run that ask for nothing else.

    ``selected``: options ask for it, and it is in force from :func:`start` to :meth:`undo`; else only while a test runs
    that needs it. ``visibility`` is what was given, and what counts, whatever a test file writes into ``os.environ``.
    """

    inventory: Inventory
    machine: Machine | None
    request: Setting | None
    visibility: Visibility
    outer: Visibility
    """What the caller had, before this session narrowed it."""
    _before: Mapping[str, str | None]
    _directory: SessionDirectory | None
    masks: tuple[Setting, ...] = ()
    """Several masks, under each of which the tests that use ``gpu_visibility`` run; ``request`` is the first."""
    selected: bool = True

    @property
    def kind(self) -> str:
        return "simulated" if self.machine else "real"

    def each_mask(self) -> dict[str, str]:
        """The masks to run under, as the user wrote them -> as CUDA reads them; empty unless there are several.

        :raises UserError: one asks for a device that is not permitted.
        """
        several = self.masks if len(self.masks) > 1 else ()
        return {setting.value: narrowed(setting, self.outer, self.inventory, self.kind) for setting in several}

    def header(self) -> str:
        """One line for pytest's header."""
        if several := self.each_mask():
            return (
                f"gpu-visibility: {len(several)} masks, {' | '.join(several)} (from {self.masks[0].source}); inventory"
                f" {self.inventory.name} ({self.kind})"
            )
        devices = ", ".join(
            f"GPU {device.index} {device.short_name} {device.uuid[:8]}…" for device in self.visibility.devices
        )
        what = f"{self.request.value} (from {self.request.source})" if self.request else "all that the caller has"
        return f"gpu-visibility: {what} -> {devices or 'no GPU'}; inventory {self.inventory.name} ({self.kind})"

    @property
    def owns_machine(self) -> bool:
        """Whether this process has made the session's machine: not that of a controller, or of whoever isolates."""
        return self._directory is not None

    @property
    def variables(self) -> dict[str, str | None]:
        """CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER as they are to be; None: not set."""
        return {MASK: self.visibility.requested, ORDER: self.visibility.device_order}

    def under(self, mask: str | None) -> Visibility:
        """What is visible of it under that mask; None: under its own."""
        if mask is None:
            return self.visibility
        return resolve(mask, self.inventory, device_order=self.visibility.device_order)

    def to_send(self) -> GpuSession:
        """As another process takes it: nothing is that one's to undo, and it opens the machine by its directory."""
        return replace(self, machine=None, _directory=None, _before={})

    def undo(self) -> None:
        """Put the environment back and remove the simulated machine, if this process made it. Twice does no harm."""
        if self.machine is not None:
            self.machine.detach()
        directory, self._directory = self._directory, None
        if directory is not None:
            directory.close()
        restore(os.environ, self._before)


def start(
    inventory: Setting | None,
    masks: Sequence[Setting] = (),
    *,
    find: Callable[[str], Inventory] = Inventory.load,
    kernel_launches: str = "error",
    given: Mapping[str, str | None] | None = None,
) -> GpuSession:
    """Put the session on a machine and narrow it to the first of ``masks``; a pytest-xdist worker takes over what its
    controller has selected.

    :param find: finds an inventory by its name.
    :param kernel_launches: as :meth:`Machine.create` has it.
    :param given: CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER as the caller had them, for a session that no option
        selects: nothing is put in force then. By default what they are, and a session that is in force.
    :raises UserError: an inventory or a device that does not exist or is not permitted.
    """
    if OUTER in os.environ and XDIST_WORKER in os.environ:
        return _inherit(masks)
    selected = given is None
    outer_mask, order = (os.environ.get(name) if given is None else given[name] for name in (MASK, ORDER))
    chosen = inventory.value if inventory else (REAL if real_gpus_answer() else DEFAULT_INVENTORY)
    devices = _found(chosen, inventory, find)
    outer = resolve(outer_mask, devices, device_order=order)
    kind = "real" if chosen == REAL else "simulated"
    values = [narrowed(mask, outer, devices, kind) for mask in masks]
    directory = None if chosen == REAL else SessionDirectory()
    machine = None
    if directory is not None:
        machine = Machine.create(devices, directory.path / "machine", kernel_launches=kernel_launches)
    seen = resolve(values[0] if values else outer_mask, devices, device_order=order)
    before = {name: os.environ.get(name) for name in (MASK, OUTER)} if selected else {}
    session = GpuSession(
        devices, machine, next(iter(masks), None), seen, outer, before, directory, tuple(masks), selected
    )
    if selected:
        if machine is not None:
            try:
                machine.attach()
            except UserError:
                session.undo()
                raise
        os.environ[OUTER] = kind if outer_mask is None else f"{kind} {outer_mask}"
        restore(os.environ, session.variables)
    return session


def _found(chosen: str, setting: Setting | None, find: Callable[[str], Inventory]) -> Inventory:
    try:
        return Inventory.from_nvml() if chosen == REAL else find(chosen)
    except UserError as error:
        raise UserError(f"{setting}: {error}" if setting else str(error)) from None


def _inherit(masks: Sequence[Setting]) -> GpuSession:
    # Not for a pytest that one of this worker's tests starts: that one narrows what it is given.
    inherited = os.environ.pop(OUTER)
    kind, blank, mask = inherited.partition(" ")
    # A real machine may itself be a simulated one, of somebody further out.
    place = os.environ.get(MACHINE_VARIABLE) if kind != "real" else None
    machine = Machine.open(Path(place)) if place else None
    if machine is not None:
        machine.attach()
    devices = machine.inventory if machine else Inventory.from_nvml()
    order = os.environ.get(ORDER)
    outer = resolve(mask if blank else None, devices, device_order=order)
    seen = resolve(os.environ.get(MASK), devices, device_order=order)
    return GpuSession(devices, machine, next(iter(masks), None), seen, outer, {OUTER: inherited}, None, tuple(masks))


def narrowed(setting: Setting, outer: Visibility, inventory: Inventory, kind: str) -> str:
    """The mask that leaves of ``outer`` what ``setting`` asks for; its ordinals count within ``outer``.

    :raises UserError: a token names no device of ``outer``, or one twice.
    """
    words = setting.value.strip()
    if words == "all":
        return narrow(outer, range(len(outer.devices)))
    if words in ("none", ""):
        return ""
    positions = [_position(token.strip(), setting, outer, inventory, kind) for token in words.split(",")]
    for position in positions:
        if positions.count(position) > 1:
            raise UserError(
                f"{setting} names device {position} twice. CUDA shows no device at all under such a mask;"
                " name each once."
            )
    return narrow(outer, positions)


def _position(token: str, setting: Setting, outer: Visibility, inventory: Inventory, kind: str) -> int:
    if re.fullmatch(r"[0-9]{1,9}", token) and int(token) < len(outer.devices):
        return int(token)
    if token.startswith(("GPU-", "MIG-")):
        found = [place for place, device in enumerate(outer.devices) if device.uuid.startswith(token)]
        if len(found) == 1:
            return found[0]
    raise UserError(_not_there(token, setting, outer, inventory, kind))


def _not_there(token: str, setting: Setting, outer: Visibility, inventory: Inventory, kind: str) -> str:
    count = len(outer.devices)
    ordinals = {0: "no device", 1: "only 0"}.get(count, f"only 0-{count - 1}")
    mask = outer.requested
    state = "there" if mask is None else f"permitted by CUDA_VISIBLE_DEVICES={mask}"
    use = [f"ordinals 0-{count - 1}" if count > 1 else "ordinal 0"] if count else []
    use.append(
        f"a UUID from `gpu-visibility inventories {inventory.name}`"
        if kind == "simulated"
        else "a UUID from `nvidia-smi -L`"
    )
    if kind == "simulated" and mask is None:
        use.append("a larger inventory such as --gpu-inventory=a100x8")
    return (
        f"{setting} asks for device {token or 'without a name'}, but {ordinals} {'is' if count < 2 else 'are'} {state}"
        f" (inventory {inventory.name}, {kind}).\nUse {', '.join(use[:-1])}{', or ' if len(use) > 1 else ''}{use[-1]};"
        " `all` and `none` work too."
    )
