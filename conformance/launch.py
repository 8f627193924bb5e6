"""What a rule uses to choose devices and to launch the server."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_gpuvisibility.inventory import AnyDevice, Device, Inventory, MigDevice, number
from pytest_gpuvisibility.launch import Launcher
from pytest_gpuvisibility.masks import resolve
from pytest_gpuvisibility.profile import Profile
from pytest_gpuvisibility.records import LaunchRecord, Scenario
from pytest_gpuvisibility.suite import DoesNotApply, Need, NotDeclared, Unjudged, check_evidence

REFUSAL = (Need.ANSWERS,)
"""Of a launch that is to be refused: that it serves is proof enough that it was not, however many workers are seen."""


@dataclass(frozen=True)
class Gpus:
    """The devices at hand, chosen from relative to what is there: the same rule runs on 2 GPUs and on 8."""

    inventory: Inventory
    source: str
    """What :meth:`Inventory.load` takes."""

    @property
    def devices(self) -> tuple[Device, ...]:
        return self.inventory.devices

    def need(self, count: int) -> None:
        """:raises DoesNotApply: fewer than ``count`` devices are there."""
        if len(self.devices) < count:
            raise DoesNotApply(f"needs {count} GPUs; {self.inventory.name} has {len(self.devices)}")

    def last_half(self, at_least: int = 1) -> tuple[Device, ...]:
        """The second half: a mask that begins at 0 hides half of all bugs."""
        self.need(2 * at_least)
        return self.devices[len(self.devices) // 2 :]

    def every_other(self, count: int) -> tuple[Device, ...]:
        """Devices 0, 2, 4 …: a mask with holes."""
        self.need(2 * count - 1)
        return self.devices[: 2 * count : 2]

    def indices(self, uuids: Iterable[str]) -> str:
        """UUIDs as indices in PCI order, for people; ``none`` for no device. A MIG slice is ``1/2/0``: its GPU, GPU
        instance and compute instance.
        """
        wanted = set(uuids)
        return " ".join(number(unit) for unit in self.inventory.units if unit.uuid in wanted) or "none"

    def title(self, label: str) -> str:
        """A label for people: the number of the device that it names, else the label itself."""
        unit = self.named(label)
        return label if unit is None else number(unit)

    def named(self, label: str) -> AnyDevice | None:
        """The device with this UUID or PCI bus id; None for anything else, such as a number."""
        bus_id = label.lower().lstrip("0")
        for unit in self.inventory.units:
            if label == unit.uuid or (isinstance(unit, Device) and bus_id == unit.pci_bus_id.lower().lstrip("0")):
                return unit
        return None


def mask(devices: Sequence[Device], gpus: Gpus, order: str | None = None) -> str:
    """The ordinals to write for ``devices`` under CUDA_DEVICE_ORDER=``order``."""
    enumeration = [device.uuid for device in resolve(None, gpus.inventory, device_order=order).devices]
    return ",".join(str(enumeration.index(device.uuid)) for device in devices)


def uuids(devices: Iterable[Device]) -> tuple[str, ...]:
    return tuple(device.uuid for device in devices)


Shipped = Callable[[str], Gpus]
"""A shipped inventory by name, or :class:`DoesNotApply` where the session is tied to another machine."""


def renumbered(gpus: Gpus, shipped: Shipped) -> Gpus:
    """A container of two devices or more whose device nodes are not numbered as CUDA counts: the machine at hand, if it
    is one.
    """
    if len(gpus.devices) > 1 and any(device.minor != device.index for device in gpus.devices):
        return gpus
    return shipped("container")


def unequal(gpus: Gpus, shipped: Shipped) -> Gpus:
    """A machine whose first device has another amount of memory than some other: the one at hand, if it is one."""
    if len({device.memory for device in gpus.devices}) > 1:
        return gpus
    return shipped("mixed4")


def without_devices(shipped: Shipped) -> list[Gpus]:
    """Machines on which CUDA shows no device: one without a GPU, and one whose GPU is in MIG mode and not cut. None
    where the session is tied to the machine at hand.
    """
    with contextlib.suppress(DoesNotApply):
        return [shipped(name) for name in ("none", "mig-bare")]
    return []


def sliced(gpus: Gpus, shipped: Shipped, at_least: int) -> tuple[Gpus, tuple[MigDevice, ...]]:
    """A machine with so many MIG slices, each of a GPU instance of its own, and these: the one at hand, if it has any.

    :raises DoesNotApply: it has too few.
    """
    machine = gpus if any(device.mig for device in gpus.devices) else shipped("mig")
    instances = {
        (unit.index, unit.gpu_instance): unit for unit in machine.inventory.units if isinstance(unit, MigDevice)
    }
    if len(instances) < at_least:
        raise DoesNotApply(f"needs {at_least} MIG slices; {machine.inventory.name} has {len(instances)}")
    return machine, tuple(instances.values())


@dataclass
class Launch:
    """Launches the server, or finds the record of the same launch; remembers which scenarios the rule rests on."""

    launcher: Launcher
    inventory: str
    launched: list[Scenario] = field(default_factory=list)
    needs: tuple[Need, ...] = tuple(Need)
    """Of the rule: what must have been seen of a launch before it may speak of it."""

    @property
    def profile(self) -> Profile:
        return self.launcher.profile

    def claims(self, ability: str, words: str) -> None:
        """:raises DoesNotApply: the profile says that the server does not know them."""
        if not getattr(self.profile.supports, ability):
            raise DoesNotApply(f"{self.profile.product.name} does not claim to know {words} ([supports].{ability})")

    def needs_report(self, name: str) -> None:
        """:raises NotDeclared: the profile does not say where the server reports that."""
        if not getattr(self.profile.reports, name):
            words = f"the profile does not say where {self.profile.product.name} reports it"
            raise NotDeclared(f"[reports].{name}", words)

    def _layout(self, machine: Inventory, total: int | None, what: Mapping[str, Any]) -> dict[str, int]:
        name, division = self.profile.product.name, self.profile.division
        if division == "groups":
            return {} if total is None else {"groups": total}
        groups = what.get("groups", 1) if total is None else 1
        if groups != 1:
            raise DoesNotApply(
                f"needs {groups} groups; {name} has one, since the command of its profile has no {{groups}}"
            )
        if division == "devices":
            return {} if total is None else {"devices": total}
        shown = len(resolve(what.get("visible"), machine, device_order=what.get("device_order")).devices)
        if shown and total is not None and total != shown:
            raise DoesNotApply(f"needs {total} devices to be asked for; {name} uses all {shown} that it is shown")
        if total is None and ("devices" in what or what.get("options")):
            return {}
        return {"devices": max(1, shown)}

    def would_start_without_a_mask(self, refused: LaunchRecord) -> None:
        """A refusal speaks of the mask only where the same launch succeeds without one.

        :raises Unjudged: it does not.
        """
        scenario = dataclasses.replace(refused.scenario, visible=None)
        self.launched.append(scenario)
        control = self.launcher.launch(scenario)
        if not control.ready:
            why = "the same launch without a mask does not start either, so nobody knows what it refuses"
            raise Unjudged(why, [scenario.describe(), f"{control.outcome} after {control.seconds:.1f} s"])

    def __call__(
        self,
        *,
        gpus: Gpus | None = None,
        needs: Sequence[Need] | None = None,
        total: int | None = None,
        **what: Any,
    ) -> LaunchRecord:
        """``what``: the fields of :class:`Scenario`, the inventory by ``gpus`` instead of by name.

        :param needs: other ones than the rule's, for one of its launches.
        :param total: on so many devices, however the server divides them: a group each, or one group of all.
        :raises Unjudged: what the rule needs was not seen.
        :raises DoesNotApply: the server cannot be asked for that.
        """
        machine = gpus.inventory if gpus else self.launcher.hardware or self.launcher.find(self.inventory)
        what |= self._layout(machine, total, what)
        scenario = Scenario(inventory=gpus.source if gpus else self.inventory, **what)
        for option in scenario.options:
            if option.name not in self.profile.server.options:
                words = f"the profile does not say how {self.profile.product.name} is told that"
                raise NotDeclared(f"[server.options].{option.name}", words)
        if scenario.devices != 1 and not self.profile.sizes_groups and self.profile.division == "groups":
            raise DoesNotApply(
                f"needs groups of {scenario.devices} devices; {self.profile.product.name} gives each worker one, since"
                " the command of its profile has no {devices}"
            )
        if self.launcher.hardware is not None and scenario.needs_simulation:
            raise DoesNotApply(f"needs {scenario.needs_simulation}, which a real machine cannot be made into")
        self.launched.append(scenario)
        fleet = self.launcher.launch(scenario)
        check_evidence(fleet, self.profile, machine, self.needs if needs is None else needs)
        return fleet
