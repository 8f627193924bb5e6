"""The CUDA driver on trial: what it shows to a process under a mask, beside what the resolver allows it to show.

It is asked through a minimal program that calls cuInit and lists UUIDs; no context is opened on any device.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from ..environment import MASK, ORDER
from ..errors import UserError
from ..host import written_whole
from ..inventory import DEFAULT_INVENTORY, AnyDevice, Inventory, number, real_gpus_answer, uuid_digits
from ..masks import resolve
from ..plain import from_plain, to_plain
from ..profile import DRIVER, Unsupported
from ..records import NO_DEVICE, NO_DRIVER, SUCCESS, LaunchRecord, MaskAnswer, MaskQuery
from ..simulator import Machine, ProbeResult, probe
from .subject import Preparation


@dataclass(frozen=True)
class DriverSubject:
    """The driver that programs find under ``environ``, on a machine that has ``hardware``.

    ``directory`` is a directory that all pytest-xdist workers of the session share.
    """

    hardware: Inventory
    environ: Mapping[str, str]
    simulated: bool
    directory: Path
    family: Literal["driver"] = "driver"
    name: str = "cuda-driver"
    source: str = DRIVER
    url: str = "https://docs.nvidia.com/cuda/cuda-driver-api/"
    unsupported: Sequence[Unsupported] = ()
    inventory_is_chosen: bool = False

    @property
    def version(self) -> str:
        return self.hardware.driver_version

    @property
    def inventory(self) -> str:
        return self.hardware.name

    @property
    def first_step(self) -> str:
        return f"asking {self.name} {self.version} what it shows without a mask"

    @property
    def preparation(self) -> Preparation:
        return Preparation()

    def control(self) -> str:
        answer = self.ask(MaskQuery())
        if answer.result == NO_DRIVER:
            raise UserError(
                "No CUDA driver answers: there is no libcuda.so.1, or one from before R470, which does not say"
                " UUIDs. Install NVIDIA's driver, or name a simulated machine such as --gpu-inventory=a100x8."
            )
        if answer.result not in (SUCCESS, NO_DEVICE):
            raise UserError(
                f"cuInit fails with {answer.result} although no mask is set: the driver does not work at all, so that"
                " nothing can be learnt of masks. See that another CUDA program runs here, or name a simulated machine"
                " such as --gpu-inventory=a100x8."
            )
        return f"it shows {self.label(answer.devices)}"

    def ask(self, query: MaskQuery) -> MaskAnswer:
        """The driver's answer, kept for the report."""
        environ = {name: value for name, value in self.environ.items() if name not in (MASK, ORDER)}
        given = ((MASK, query.visible), (ORDER, query.device_order))
        environ |= {name: value for name, value in given if value is not None}
        allowed = resolve(query.visible, self.hardware, device_order=query.device_order).admissible
        answer = self._answer(query, probe(environ), allowed)
        with written_whole(self.directory / f"{query.key}.json") as draft:
            draft.write_text(json.dumps(to_plain(answer)), encoding="utf-8")
        return answer

    def _answer(self, query: MaskQuery, shown: ProbeResult, allowed: Iterable[Sequence[AnyDevice]]) -> MaskAnswer:
        return MaskAnswer(
            query,
            shown.result,
            tuple(self._uuids.get(uuid_digits(device.uuid), device.uuid) for device in shown.devices),
            tuple(tuple(unit.uuid for unit in outcome) for outcome in allowed),
        )

    @cached_property
    def _uuids(self) -> Mapping[str, str]:
        """The inventory's UUIDs by their bytes: CUDA does not say whether they are a GPU's or a MIG slice's."""
        return {uuid_digits(unit.uuid): unit.uuid for unit in self.hardware.units}

    def label(self, uuids: Iterable[str]) -> str:
        """Devices by index, MIG slices by GPU, GPU instance and compute instance; ``no device`` for none."""
        names = {unit.uuid: number(unit) for unit in self.hardware.units}
        return " ".join(names.get(uuid, f"{uuid} (unknown)") for uuid in uuids) or "no device"

    def machine(self, name: str) -> Inventory:
        return self.hardware

    def launches(self) -> Mapping[str, LaunchRecord]:
        return {}

    def answers(self) -> Mapping[str, MaskAnswer]:
        return {
            path.stem: from_plain(MaskAnswer, json.loads(path.read_text()))
            for path in sorted(self.directory.glob("*.json"))
        }


def open_driver(
    chosen: str, directory: Path, *, first: bool, find_inventory: Callable[[str], Inventory] = Inventory.load
) -> DriverSubject:
    """The driver of --gpu-inventory=``chosen`` (empty: not given).

    ``first``: this process decides and makes the machine; others of the session find it in ``directory``.
    ``find_inventory``: finds it by its name.

    :raises UserError: there is no such inventory, or no driver.
    """
    answers, place = directory / "answers", directory / "machine"
    answers.mkdir(exist_ok=True)
    if not first:
        machine = Machine.open(place) if place.exists() else None
    elif chosen == "real" or (not chosen and real_gpus_answer()):
        machine = None
    else:
        machine = Machine.create(find_inventory(chosen or DEFAULT_INVENTORY), place)
    if machine is None:
        return DriverSubject(_named(Inventory.from_nvml()), os.environ, simulated=False, directory=answers)
    return DriverSubject(
        machine.inventory,
        machine.environ(os.environ),
        simulated=True,
        directory=answers,
        inventory_is_chosen=bool(chosen),
    )


def _named(inventory: Inventory) -> Inventory:
    """The same inventory.

    :raises UserError: it lacks the UUID of a GPU, so that nobody could tell which one CUDA shows.
    """
    silent = [str(gpu.index) for gpu in inventory.devices if not gpu.pci_bus_id and not gpu.lost]
    if silent:
        raise UserError(
            f"NVML does not say which GPU {' and '.join(silent)} is, so it cannot be told whether CUDA shows it. Run"
            " `nvidia-smi -L` to see why, or name a simulated machine such as --gpu-inventory=a100x8."
        )
    return inventory
