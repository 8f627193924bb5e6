"""-q and -q -x of the simulated nvidia-smi, held against every line and element that real machines printed."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

import pytest
from nvidia_smi_captures import DIRECTORY, NAMES, XML_NAMES, Capture, XmlCapture
from simulated_programs import CONTEXT, holding, run

from pytest_gpuvisibility.inventory import Inventory
from pytest_gpuvisibility.simulator import Machine

needs_captures = pytest.mark.skipif(
    not DIRECTORY.is_dir(), reason="real nvidia-smi output (../shared/data/nvidia-smi) is not there"
)

# Places of a report, as "PCI/Bus" or "pci/pci_bus", that no inventory decides; what is there must be of the same kind.
# First what moves while a machine runs, then what its owner, its mainboard, or the board's maker has set.
TEXT_ANY = r"""
Timestamp|Serial Number|GPU PDI|.*/(Used|Free|Used GPU Memory)|.*Throughput|PCI/Replays Since Reset|Fan Speed
|PCI/GPU Link Info/PCIe Generation/.*Current|Performance State|Clocks Event Reasons/.*|Clocks Event Reasons Counters/.*
|Utilization/.*|Temperature/(GPU Current Temp|GPU T.Limit Temp|Memory Current Temp)
|GPU (Memory )?Power Readings ?/.*Draw
|Clocks/.*
|Display Active|Persistence Mode|Addressing Mode|Accounting Mode|.*Module Id|GPU Virtualization Mode/Virtualization Mode
|PCI/Sub System Id|PCI/GPU Link Info/PCIe Generation/Host Max|PCI/Atomic Caps .*|Processes.*
"""
XML_ANY = r"""
timestamp|serial|pdi|.*/(used|free)|pci/(tx|rx)_util|pci/replay_counter|fan_speed|performance_state|.*/power_state
|pci/pci_gpu_link_info/.*current_link_(gen|width)|clocks_(event|throttle)_reasons/.*|clocks_event_reasons_counters/.*
|utilization/.*|temperature/(gpu_temp|memory_temp)|.*power_readings/(.*power_draw)|clocks/.*|voltage/.*
|processes/.*
|display_(mode|active)|persistence_mode|addressing_mode|gpu_module_id|.*/module_id|gpu_virtualization_mode/virtualization_mode
|pci/pci_sub_system_id|pci/pci_gpu_link_info/pcie_gen/max_host_link_gen
|pci/pci_gpu_link_info/link_widths/.*|bar1_memory_usage/total
"""
# ... and where it may be that there is nothing to say.
OF_THE_HOST = r"""
.*/Host Max|.*/max_host_link_gen|PCI/Atomic Caps .*|voltage/.*|Timestamp|GPU PDI|pdi|PCI/Sub System Id
|pci/pci_.*|serial
"""
# One machine's own: this A100 of 500 W and this T4 have their application clocks lowered.
XML_OF_THIS_MACHINE = {
    "a100-sxm4-v12": r"gpu_power_readings/.*limit|(default_)?applications_clocks/graphics_clock",
    "rtx-3080-v13": r"accounting_mode",
    "tesla-t4": r"(default_)?applications_clocks/graphics_clock",
}


def unit(value: str) -> str:
    """What stays of a number that moves."""
    return re.sub(r"^-?[\d.]+", "", value) if value[:1].isdigit() or value[:1] == "-" else ""


def matches(places: str, place: str) -> bool:
    return re.fullmatch(places.replace("\n", ""), place) is not None


def text_lines(report: str) -> Iterator[tuple[str, str]]:
    """Place and value of every line of -q; a heading's value is empty."""
    above: list[str] = []
    for line in report.splitlines():
        if not line.strip() or "=====" in line:
            continue
        label, _, value = line.partition(" : " if " : " in line else ": ")
        depth = (len(label) - len(label.lstrip())) // 4
        above[max(depth - 1, 0) :] = [label.strip()]
        yield "/".join(above), value


def elements(parent: ElementTree.Element, place: str = "") -> Iterator[tuple[str, str]]:
    for element in parent:
        path = f"{place}/{element.tag}".removeprefix("/")
        yield path, (element.text or "").strip()
        yield from elements(element, path)


def smi(machine: Machine, *arguments: str) -> str:
    result = run(machine, "nvidia-smi", *arguments)
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    return result.stdout


def check(ours: list[tuple[str, str]], real: list[tuple[str, str]], any_value: str, owner: str = "") -> None:
    """The same places in the same order, and the same values but where none is decided: there the same unit."""
    assert [place for place, _ in ours] == [place for place, _ in real]
    wrong = {
        place: (value, expected)
        for (place, value), (_, expected) in zip(ours, real, strict=True)
        if value != expected and not matches(any_value, place) and not (owner and matches(owner, place))
    }
    assert wrong == {}
    moved = {
        place: (value, expected)
        for (place, value), (_, expected) in zip(ours, real, strict=True)
        if (unit(value) != unit(expected) or (value == "N/A") != (expected == "N/A"))
        and not matches(OF_THE_HOST, place)
    }
    assert moved == {}


@needs_captures
@pytest.mark.parametrize("name", NAMES)
def test_every_line_of_q_is_the_real_one(name: str) -> None:
    capture = Capture.load(name)
    with Machine.create(capture.inventory()) as machine:
        report = smi(machine, "-q")
    real = capture["idle :: query (-q)"]
    # This machine has a desktop: a simulated one has no graphics processes.
    real = re.sub(r"\n    Processes\n(?:        .*\n)+", f"\n    {'Processes':<51}: None\n", real)
    check(list(text_lines(report)), list(text_lines(real)), TEXT_ANY)
    assert {len(line.partition(" : ")[0]) for line in report.splitlines() if " : " in line} == {54}


@needs_captures
@pytest.mark.parametrize("name", XML_NAMES)
def test_every_element_of_xml_is_the_real_one(name: str) -> None:
    capture = XmlCapture.load(name)
    gpu = capture.root.find("gpu")
    assert gpu is not None
    graphics = capture.root.findall("gpu/processes/process_info")
    with Machine.create(capture.inventory()) as machine:
        if graphics:
            with holding(machine, 0, 8):
                ours = XmlCapture.parse(smi(machine, "-q", "-x"))
            processes = gpu.find("processes")
            assert processes is not None
            processes.remove(graphics[0])  # the display server's
        else:
            ours = XmlCapture.parse(smi(machine, "-q", "-x"))
    assert ours.schema == capture.schema
    assert [element.tag for element in ours.root] == [element.tag for element in capture.root]
    assert ours.text("cuda_version") == capture.text("cuda_version")
    our_gpu = ours.root.find("gpu")
    assert our_gpu is not None
    assert our_gpu.attrib == gpu.attrib
    check(list(elements(our_gpu)), list(elements(gpu)), XML_ANY, XML_OF_THIS_MACHINE[name])


@pytest.mark.parametrize("name", ["mig", "mixed4", "none"])
def test_xml_has_every_gpu_or_says_that_there_is_none(name: str) -> None:
    inventory = Inventory.load(name)
    with Machine.create(inventory) as machine:
        if not inventory.devices:
            result = run(machine, "nvidia-smi", "-q", "-x")
            assert (result.returncode, result.stdout) == (6, "No devices were found\n")
            return
        root = ElementTree.fromstring(smi(machine, "-q", "-x"))
        one = ElementTree.fromstring(smi(machine, "-q", "-x", "-i", "1"))
    assert [gpu.findtext("uuid") for gpu in root.iter("gpu")] == [device.uuid for device in inventory.devices]
    assert [gpu.findtext("uuid") for gpu in one.iter("gpu")] == [inventory.devices[1].uuid]
    assert root.findtext("attached_gpus") == one.findtext("attached_gpus") == str(len(inventory.devices))
    for gpu, device in zip(root.iter("gpu"), inventory.devices, strict=True):
        assert gpu.attrib["id"] == device.pci_bus_id
        assert len(gpu.findall("mig_devices/mig_device")) == len(device.mig)


def test_a_process_of_a_slice_stands_in_both_reports() -> None:
    inventory = Inventory.load("mig")
    slice_ = inventory.devices[1].mig[1]
    with Machine.create(inventory) as machine, holding(machine, 0, 64, CUDA_VISIBLE_DEVICES=slice_.uuid) as process:
        root = ElementTree.fromstring(smi(machine, "-q", "-x"))
        text = smi(machine, "-q", "-i", "1", "-d", "PIDS")
    whole, sliced = root.iter("gpu")
    assert not whole.findall("processes/process_info")
    (info,) = sliced.findall("processes/process_info")
    command = info.findtext("process_name")
    assert [(element.tag, element.text) for element in info] == [
        ("gpu_instance_id", str(slice_.gpu_instance)),
        ("compute_instance_id", str(slice_.compute_instance)),
        ("pid", str(process.pid)),
        ("type", "C"),
        ("process_name", command),
        ("used_memory", f"{CONTEXT + 64} MiB"),
    ]
    used = [device.findtext("fb_memory_usage/used") for device in sliced.iter("mig_device")]
    assert used == ["0 MiB", f"{CONTEXT + 64} MiB"]
    assert re.search(rf"GPU instance ID +: {slice_.gpu_instance}\n +Compute instance ID +: 0\n", text)
    assert re.search(rf"Process ID +: {process.pid}\n            Type +: C\n            Name +: {command}\n", text)


def test_supported_clocks_are_listed_when_they_are_asked_for() -> None:
    with Machine.create(Inventory.load("a100x1")) as machine:
        lines = smi(machine, "-q", "-d", "SUPPORTED_CLOCKS").splitlines()
    start = lines.index("    Supported Clocks")
    assert re.fullmatch(r"        Memory +: 1593 MHz", lines[start + 1])
    assert re.fullmatch(r"            Graphics +: 1410 MHz", lines[start + 2])
    assert len(lines) - start > 80
