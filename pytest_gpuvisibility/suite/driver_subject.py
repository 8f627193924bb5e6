"""The CUDA driver on trial: what it shows to a process under a mask, beside what the resolver allows it to show.

It is asked through a minimal program that calls cuInit and lists UUIDs; no context is opened on any device.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from ..environment import MASK, ORDER
from ..errors import UserError
from ..inventory.model import AnyDevice, Device, Inventory
from ..inventory.real import DEFAULT_INVENTORY, real_gpus_answer
from ..masks.resolver import resolve
from ..profile.files import DRIVER, Unsupported
from ..records import Fleet, describe_mask
from ..simulator.machine import Machine, ProbeResult, probe

SUCCESS, NO_DEVICE, NO_DRIVER = 0, 100, -1
"""What the probe answers: cuInit's CUresult, or -1 where no libcuda.so.1 with the functions it needs was found."""
LONGEST_MASK = 60
"""Characters of a mask that a person is shown."""
WHOLE_UUID = re.compile(r"\b([0-9a-fA-F]{8})(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")


@dataclass(frozen=True, slots=True)
class Question:
    """The two CUDA variables of a process; None means unset."""

    visible: str | None = None
    device_order: str | None = None

    @property
    def key(self) -> str:
        """The same for the same question, in every process."""
        return hashlib.sha256(json.dumps([self.visible, self.device_order]).encode()).hexdigest()[:16]

    def describe(self) -> str:
        """The variables as one would type them, without most of a UUID and of a long list."""
        order = "" if self.device_order is None else f", CUDA_DEVICE_ORDER={_quoted(self.device_order)}"
        return describe_mask(self.visible and _quoted(self.visible)) + order


def _quoted(value: str) -> str:
    value = WHOLE_UUID.sub(r"\1…", value)
    short = value if len(value) <= LONGEST_MASK else f"{value[:LONGEST_MASK]}… ({len(value)} characters)"
    return short if short and short.isprintable() and " " not in value else repr(short)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the driver showed: cuInit's ``result``, and UUIDs in CUDA's order, as the inventory writes them.

    ``admissible`` are the lists of UUIDs that the resolver allows, its default first.
    """

    question: Question
    result: int
    devices: tuple[str, ...]
    admissible: tuple[tuple[str, ...], ...]

    @property
    def admitted(self) -> bool:
        """Whether the resolver allows it. To show no device is to fail with CUDA_ERROR_NO_DEVICE."""
        return self.devices in self.admissible and self.result == (SUCCESS if self.devices else NO_DEVICE)

    @property
    def settled(self) -> bool:
        """Whether the evidence allows one answer only."""
        return len(self.admissible) == 1

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Answer:
        """The inverse of :func:`dataclasses.asdict` after a journey through JSON."""
        return cls(
            Question(**data["question"]),
            data["result"],
            tuple(data["devices"]),
            tuple(tuple(outcome) for outcome in data["admissible"]),
        )


@dataclass(frozen=True)
class DriverSubject:
    """The driver that programs find under ``environ``, on a machine that has ``hardware``.

    ``room`` is a directory that all pytest-xdist workers of the session share.
    """

    hardware: Inventory
    environ: Mapping[str, str]
    simulated: bool
    room: Path
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

    def control(self) -> str:
        answer = self.ask(Question())
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

    def ask(self, question: Question) -> Answer:
        """The driver's answer, kept for the report."""
        environ = {name: value for name, value in self.environ.items() if name not in (MASK, ORDER)}
        given = ((MASK, question.visible), (ORDER, question.device_order))
        environ |= {name: value for name, value in given if value is not None}
        allowed = resolve(question.visible, self.hardware, device_order=question.device_order).admissible
        answer = self._answer(question, probe(environ), allowed)
        draft = self.room / f"{question.key}.{os.getpid()}.draft"
        draft.write_text(json.dumps(asdict(answer)), encoding="utf-8")
        os.replace(draft, self.room / f"{question.key}.json")
        return answer

    def _answer(self, question: Question, shown: ProbeResult, allowed: Iterable[Sequence[AnyDevice]]) -> Answer:
        return Answer(
            question,
            shown.result,
            tuple(self._uuids.get(_bytes_of(device.uuid), device.uuid) for device in shown.devices),
            tuple(tuple(unit.uuid for unit in outcome) for outcome in allowed),
        )

    @cached_property
    def _uuids(self) -> Mapping[str, str]:
        """The inventory's UUIDs by their bytes: CUDA does not say whether they are a GPU's or a MIG slice's."""
        return {_bytes_of(unit.uuid): unit.uuid for unit in self.hardware.units}

    def label(self, uuids: Iterable[str]) -> str:
        """Devices by index, MIG slices by GPU, GPU instance and compute instance; ``no device`` for none."""
        names = {unit.uuid: _label(unit) for unit in self.hardware.units}
        return " ".join(names.get(uuid, f"{uuid} (unknown)") for uuid in uuids) or "no device"

    def machine(self, name: str) -> Inventory:
        return self.hardware

    def launches(self) -> Mapping[str, Fleet]:
        return {}

    def answers(self) -> Mapping[str, Answer]:
        return {path.stem: Answer.from_dict(json.loads(path.read_text())) for path in sorted(self.room.glob("*.json"))}


def _bytes_of(uuid: str) -> str:
    return uuid.removeprefix("GPU-").removeprefix("MIG-").lower()


def _label(unit: AnyDevice) -> str:
    return str(unit.index) if isinstance(unit, Device) else f"{unit.index}/{unit.gpu_instance}/{unit.compute_instance}"


def open_driver(
    chosen: str, room: Path, *, first: bool, find_inventory: Callable[[str], Inventory] = Inventory.load
) -> DriverSubject:
    """The driver of --gpu-inventory=``chosen`` (empty: not given).

    ``first``: this process decides and makes the machine; others of the session find it in ``room``.
    ``find_inventory``: finds it by its name.

    :raises UserError: there is no such inventory, or no driver.
    """
    answers, directory = room / "answers", room / "machine"
    answers.mkdir(exist_ok=True)
    if not first:
        machine = Machine.open(directory) if directory.exists() else None
    elif chosen == "real" or (not chosen and real_gpus_answer()):
        machine = None
    else:
        machine = Machine.create(find_inventory(chosen or DEFAULT_INVENTORY), directory)
    if machine is None:
        return DriverSubject(_named(Inventory.from_nvml()), os.environ, simulated=False, room=answers)
    return DriverSubject(
        machine.inventory, machine.environ(os.environ), simulated=True, room=answers, inventory_is_chosen=bool(chosen)
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
