"""Real nvidia-smi output, and inventories of the machines that it was captured on."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pytest_gpuvisibility.inventory import Device, Inventory, MigDevice

DIRECTORY = Path(__file__).resolve().parents[2] / "shared" / "data" / "nvidia-smi"
NAMES = (
    "linux-x86_64__nvidia-l40s__595.80",
    "linux-x86_64__nvidia-h100-mig__590.48.01",
    "linux-x86_64__nvidia-h200-mig__590.48.01",
    "linux-x86_64__nvidia-geforce-rtx-2080-super__595.71.05",
)
XML_NAMES = ("a100-sxm4-v12", "rtx-3080-v13", "tesla-t4")
# What the output does not say of each product.
_MULTIPROCESSORS = {"L40S": 142, "H100": 132, "H200": 132, "2080": 48, "A100": 108, "3080": 68, "T4": 40}
_CAPABILITIES = {"A100": (8, 0), "3080": (8, 6), "T4": (7, 5)}
_SLICE_PROFILES = {("14", "19968 MiB"): "1g.20gb"}


@dataclass(frozen=True)
class Capture:
    """What each command printed on one machine, by the file's headings: "idle :: query (-q)"."""

    sections: dict[str, str]

    @classmethod
    def load(cls, name: str) -> Capture:
        text = (DIRECTORY / f"{name}.txt").read_text(encoding="utf-8")
        parts = re.split(r"^#{80}\n# (\w+ :: .+)\n(?:# \$ .*\n)?#{80}\n", text, flags=re.M)
        return cls({heading: body.rstrip("\n") for heading, body in zip(parts[1::2], parts[2::2], strict=True)})

    def __getitem__(self, heading: str) -> str:
        found = [body for name, body in self.sections.items() if name.startswith(heading)]
        assert len(found) == 1, f"{heading} is in {len(found)} sections of the capture"
        return found[0]

    def table(self, when: str = "idle") -> list[str]:
        return self[f"{when} :: nvidia-smi"].splitlines()

    def fields(self, when: str = "idle") -> dict[str, str]:
        """Value of each field of --query-gpu, by its heading with the unit."""
        head, row = self[f"{when} :: query-gpu"].splitlines()
        return dict(zip(head.split(", "), row.split(", "), strict=True))

    def inventory(self) -> Inventory:
        """The machine that printed this, as an inventory."""
        fields, table = self.fields(), "\n".join(self.table())
        name, uuid, memory = fields["name"], fields["uuid"], _mebibytes(fields["memory.total [MiB]"])
        major, minor = fields["compute_cap"].split(".")
        cuda = re.search(r"CUDA Version: (\S+)", table)
        assert cuda
        device = Device(
            index=0,
            uuid=uuid,
            pci_bus_id=fields["pci.bus_id"],
            minor=0,
            name=name,
            memory=memory,
            compute_capability=(int(major), int(minor)),
            multiprocessors=_of_product(_MULTIPROCESSORS, name),
            relative_speed=1.0,
            compute_mode="default",
            faults=frozenset(),
            mig=tuple(self._slices(name, uuid)),
            mig_enabled=fields["mig.mode.current"] == "Enabled",
        )
        return Inventory(
            name="capture",
            devices=(device,),
            driver_version=fields["driver_version"],
            cuda_version=cuda[1],
            origin="a capture",
        )

    def _slices(self, name: str, uuid: str) -> list[MigDevice]:
        profiles = re.findall(r"^  MIG (\S+) +Device +\d+: \(UUID: (\S+)\)", self["capabilities :: list"], flags=re.M)
        rows = re.findall(
            r"^\| +0 +(\d+) +(\d+) +\d+  \| +\d+MiB / *(\d+)MiB +\| *(\d+) ",
            "\n".join(self.table()),
            flags=re.M,
        )
        return [
            MigDevice(
                uuid=slice_uuid,
                gpu_instance=int(gpu_instance),
                compute_instance=int(compute_instance),
                profile=profile,
                name=f"{name} MIG {profile}",
                memory=int(memory) << 20,
                multiprocessors=int(multiprocessors),
                parent_index=0,
                parent_uuid=uuid,
            )
            for (profile, slice_uuid), (gpu_instance, compute_instance, memory, multiprocessors) in zip(
                profiles, rows, strict=True
            )
        ]


@dataclass(frozen=True)
class XmlCapture:
    """What -q -x printed on one machine, and the name of its document type."""

    root: ElementTree.Element
    schema: str

    @classmethod
    def parse(cls, text: str) -> XmlCapture:
        declared = re.search(r'<!DOCTYPE nvidia_smi_log SYSTEM "(\S+)">', text)
        assert declared
        return cls(ElementTree.fromstring(text), declared[1])

    @classmethod
    def load(cls, name: str) -> XmlCapture:
        return cls.parse((DIRECTORY / f"{name}.xml").read_text(encoding="utf-8"))

    def text(self, path: str) -> str:
        found = self.root.findtext(path)
        assert found, path
        return found

    def inventory(self) -> Inventory:
        """The machine that printed this; of several GPUs the captures keep the first."""
        name, uuid = self.text("gpu/product_name"), self.text("gpu/uuid")
        device = Device(
            index=0,
            uuid=uuid,
            pci_bus_id=self.text("gpu/pci/pci_bus_id"),
            minor=int(self.text("gpu/minor_number")),
            name=name,
            memory=_mebibytes(self.text("gpu/fb_memory_usage/total")),
            compute_capability=_of_product(_CAPABILITIES, name),
            multiprocessors=_of_product(_MULTIPROCESSORS, name),
            relative_speed=1.0,
            compute_mode="default",
            faults=frozenset(),
            mig=tuple(self._slice(slice_, name, uuid) for slice_ in self.root.iterfind("gpu/mig_devices/mig_device")),
            mig_enabled=self.text("gpu/mig_mode/current_mig") == "Enabled",
        )
        return Inventory("capture", (device,), self.text("driver_version"), self.text("cuda_version"), "a capture")

    def _slice(self, slice_: ElementTree.Element, name: str, uuid: str) -> MigDevice:
        def number(tag: str) -> int:
            return int(slice_.findtext(tag) or "")

        multiprocessors = slice_.findtext("device_attributes/shared/multiprocessor_count") or ""
        memory = slice_.findtext("fb_memory_usage/total") or ""
        profile = _SLICE_PROFILES[multiprocessors, memory]
        return MigDevice(
            uuid=f"MIG-00000000-0000-0000-0000-{number('index'):012}",
            gpu_instance=number("gpu_instance_id"),
            compute_instance=number("compute_instance_id"),
            profile=profile,
            name=f"{name} MIG {profile}",
            memory=_mebibytes(memory),
            multiprocessors=int(multiprocessors),
            parent_index=0,
            parent_uuid=uuid,
        )


_Value = TypeVar("_Value")


def _of_product(values: Mapping[str, _Value], name: str) -> _Value:
    return next(value for part, value in values.items() if part in name)


def _mebibytes(text: str) -> int:
    return int(text.removesuffix(" MiB")) << 20
