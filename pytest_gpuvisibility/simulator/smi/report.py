"""-q and -q -x: everything about each GPU, as indented lines or as XML, from the one table of report_lines.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from .fields import read
from .nvml import INVALID_ARGUMENT, Exit, Gpu, Nvml, Unit
from .report_lines import GPU, SLICE
from .report_readers import ADA, AMPERE, GPU_READERS, SLICE_READERS, architecture, mib
from .wording import NOT_AVAILABLE, instance, or_not_available

# The headings that each word of -d keeps.
DISPLAYS = {
    "MEMORY": ("FB Memory Usage", "BAR1 Memory Usage", "Conf Compute Protected Memory Usage"),
    "UTILIZATION": ("Utilization",),
    "ECC": ("ECC Mode", "ECC Errors"),
    "TEMPERATURE": ("Temperature",),
    "POWER": ("Power Readings", "GPU Power Readings", "GPU Memory Power Readings ", "Module Power Readings"),
    "CLOCK": (
        "Clocks",
        "Applications Clocks",
        "Default Applications Clocks",
        "Deferred Clocks",
        "Max Clocks",
        "Max Customer Boost Clocks",
        "Clock Policy",
    ),
    "COMPUTE": ("Compute Mode",),
    "PIDS": ("Processes",),
    "PERFORMANCE": (
        "Performance State",
        "Clocks Throttle Reasons",
        "Clocks Event Reasons",
        "Clocks Event Reasons Counters",
        "Sparse Operation Mode",
    ),
    "SUPPORTED_CLOCKS": ("Supported Clocks",),
    "PAGE_RETIREMENT": ("Retired Pages",),
    "ACCOUNTING": ("Accounting Mode", "Accounting Mode Buffer Size"),
    "ENCODER_STATS": ("Encoder Stats",),
    "SUPPORTED_GPU_TARGET_TEMP": ("Supported GPU Target Temp",),
    "VOLTAGE": ("Voltage",),
    "FBC_STATS": ("FBC Stats",),
    "ROW_REMAPPER": ("Remapped Rows",),
    "GSP_FIRMWARE_VERSION": ("GSP Firmware Version",),
    "POWER_SMOOTHING": ("Power Smoothing",),
    "POWER_PROFILES": ("Workload Power Profiles",),
}


class Node(NamedTuple):
    """A line of -q and an element of -q -x. No value: a heading. A text "\\nNone" is an element's only line."""

    label: str
    tag: str
    value: str | None
    children: list[Node]


class Template(NamedTuple):
    """A line of report_lines.py."""

    label: str
    tag: str
    shown: str
    where: list[str]
    children: list[Template]


def parse(lines: str) -> list[Template]:
    """The templates of a table of report_lines.py, each with those below it."""
    roots: list[Template] = []
    levels = [roots]
    for line in lines.strip("\n").split("\n"):
        text = line.lstrip(" ")
        depth = (len(line) - len(text)) // 4
        label, tag, shown, where = (*text.split(" | "), "", "")[:4]
        if shown.strip().startswith("|"):  # "| >=560": a heading with a condition
            shown, where = "", shown.strip()[1:]
        template = Template("" if label == "-" else label, "" if tag == "-" else tag, shown.strip(), where.split(), [])
        levels[depth].append(template)
        levels[depth + 1 :] = [template.children]
    return roots


# ---- where lines occur ----


def _remaps(gpu: Gpu) -> bool:
    return read(gpu, "remapped_rows.pending") != NOT_AVAILABLE


# Whether lines that are marked with the word occur for a GPU.
CONDITIONS: dict[str, Callable[[Gpu], bool]] = {
    "detailed": lambda gpu: gpu.nvml.branch() >= 560 and architecture(gpu) >= AMPERE,
    "limited": lambda gpu: architecture(gpu) >= ADA,
    "remaps": _remaps,
}


class _Report:
    """What the report of one GPU holds, as text or as XML."""

    def __init__(self, gpu: Gpu, form: str, clocks: bool = False) -> None:
        self._gpu = gpu
        self._form = form
        self._clocks = clocks
        self._branch = gpu.nvml.branch()

    def nodes(self) -> list[Node]:
        return [node for template in parse(GPU) for node in self._nodes(template)]

    def _holds(self, word: str) -> bool:
        if word.startswith("!"):
            return not self._holds(word[1:])
        if word.startswith(">="):
            return self._branch >= int(word[2:])
        if word.startswith("<"):
            return self._branch < int(word[1:])
        if word in ("text", "xml"):
            return self._form == word
        if word == "shown":
            return self._clocks
        return CONDITIONS[word](self._gpu)

    def _nodes(self, template: Template) -> list[Node]:
        if not all(self._holds(word) for word in template.where):
            return []
        if template.shown.startswith("*"):
            return LISTS[template.shown[1:]](self, self._gpu)
        children = [node for child in template.children for node in self._nodes(child)]
        return [Node(template.label, template.tag, self._value(template), children)]

    def _value(self, template: Template) -> str | None:
        shown = template.shown
        if not shown:
            return None
        if shown.startswith("="):
            return shown[1:]
        if shown.startswith("@"):
            reader = GPU_READERS[shown[1:]]
            return or_not_available(lambda: reader(self._gpu))
        value = read(self._gpu, shown)
        if shown == "compute_mode":
            return value.replace("_", " ") if self._form == "text" else value
        if self._form == "xml" and template.tag.startswith("pci_") and value.startswith("0x"):
            return value[2:]
        return value

    def slices(self, gpu: Gpu) -> list[Node]:
        nodes = [_slice_node(slice_) for slice_ in gpu.slices()]
        if self._form == "text":
            return nodes
        return [Node("", "mig_devices", None if nodes else "\nNone", nodes)]

    def processes(self, gpu: Gpu) -> list[Node]:
        nodes = []
        for process in gpu.processes():
            lines = [
                Node("GPU instance ID", "gpu_instance_id", instance(process.gpu_instance), []),
                Node("Compute instance ID", "compute_instance_id", instance(process.compute_instance), []),
                Node("Process ID", "pid", str(process.pid), []),
            ]
            lines[-1].children.extend(
                [
                    Node("Type", "type", "C", []),
                    Node("Name", "process_name", gpu.nvml.process_name(process.pid), []),
                    Node("Used GPU Memory", "used_memory", mib(process.bytes), []),
                ]
            )
            nodes.append(Node("", "process_info", None, lines))
        nothing = None if nodes or self._form == "xml" else "None"
        return [Node("Processes", "processes", nothing, nodes)]

    def supported_clocks(self, gpu: Gpu) -> list[Node]:
        return [Node("Supported Clocks", "supported_clocks", None, _supported_clocks(gpu))]

    def none(self, gpu: Gpu) -> list[Node]:
        return [Node("", "accounted_processes", None, [])]


LISTS: dict[str, Callable[[_Report, Gpu], list[Node]]] = {
    "slices": _Report.slices,
    "processes": _Report.processes,
    "supported_clocks": _Report.supported_clocks,
    "none": _Report.none,
}


def _slice_node(slice_: Unit) -> Node:
    def node(template: Template) -> Node:
        shown = template.shown
        value = SLICE_READERS[shown[1:]](slice_) if shown.startswith("@") else shown[1:] if shown else None
        return Node(template.label, template.tag, value, [node(child) for child in template.children])

    return Node("MIG Device", "mig_device", None, [node(template) for template in parse(SLICE)])


def _supported_clocks(gpu: Gpu) -> list[Node]:
    nodes = []
    for memory in gpu.numbers("nvmlDeviceGetSupportedMemoryClocks"):
        graphics = [
            Node("Graphics", "supported_graphics_clock", f"{clock} MHz", [])
            for clock in gpu.numbers("nvmlDeviceGetSupportedGraphicsClocks", memory)
        ]
        nodes.append(Node("", "supported_mem_clock", None, [Node("Memory", "value", f"{memory} MHz", graphics)]))
    return nodes


# ---- as text ----


COLUMN, COLUMN_OF_PROCESSES = 55, 42


def _lines(node: Node, depth: int, column: int = COLUMN) -> Iterator[str]:
    below = depth + 1 if node.label else depth
    if node.label:
        indented = "    " * depth + node.label
        yield indented if node.value is None else f"{indented:<{column}}: {node.value}"
    for child in node.children:
        yield from _lines(child, below, COLUMN_OF_PROCESSES if child.tag == "process_info" else column)


def _kept(displays: str | None) -> set[str] | None:
    """The headings that -d names; None: all. Exit at a word that does not exist."""
    if displays is None:
        return None
    words = displays.upper().split(",")
    unknown = [word for word in words if word not in DISPLAYS]
    if unknown:
        raise Exit(f"Display type {unknown[0]} is not one of {', '.join(DISPLAYS)}.\n", INVALID_ARGUMENT)
    return {heading for word in words for heading in DISPLAYS[word]}


def report(nvml: Nvml, gpus: Sequence[Gpu], displays: str | None) -> Iterator[str]:
    """What -q prints, or of it what -d names."""
    keep = _kept(displays)
    yield ""
    yield "==============NVSMI LOG=============="
    yield ""
    yield f"{'Timestamp':<{COLUMN}}: {time.strftime('%a %b %e %H:%M:%S %Y')}"
    yield f"{'Driver Version':<{COLUMN}}: {nvml.driver_version()}"
    yield f"{'CUDA Version':<{COLUMN}}: {nvml.cuda_version()}"
    yield ""
    yield f"{'Attached GPUs':<{COLUMN}}: {nvml.count()}"
    for gpu in gpus:
        yield f"GPU {gpu.bus_id()}"
        clocks = keep is not None and "Supported Clocks" in keep
        for node in _Report(gpu, "text", clocks).nodes():
            if keep is None or node.label in keep:
                yield from _lines(node, 1)
        yield ""


# ---- as XML ----


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _elements(node: Node, depth: int) -> Iterator[str]:
    indent = "\t" * depth
    if node.value is not None and not node.value.startswith("\n"):
        yield f"{indent}<{node.tag}>{_escaped(node.value)}</{node.tag}>"
        for child in node.children:  # what -q indents below a line with a value stands beside it here
            yield from _elements(child, depth)
        return
    yield f"{indent}<{node.tag}>"
    if node.value and node.value.strip():
        yield f"{indent}\t{node.value.strip()}"
    for child in node.children:
        yield from _elements(child, depth + 1)
    yield f"{indent}</{node.tag}>"


def _schema(branch: int) -> int:
    """Which of NVIDIA's document types drivers of a branch write."""
    if branch >= 580:
        return 13
    return 12 if branch >= 520 else 11


def xml_report(nvml: Nvml, gpus: Sequence[Gpu]) -> Iterator[str]:
    """What -q -x prints."""
    yield '<?xml version="1.0" ?>'
    yield f'<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v{_schema(nvml.branch())}.dtd">'
    yield "<nvidia_smi_log>"
    yield f"\t<timestamp>{time.strftime('%a %b %e %H:%M:%S %Y')}</timestamp>"
    yield f"\t<driver_version>{nvml.driver_version()}</driver_version>"
    yield f"\t<cuda_version>{nvml.cuda_version()}</cuda_version>"
    yield f"\t<attached_gpus>{nvml.count()}</attached_gpus>"
    for gpu in gpus:
        yield f'\t<gpu id="{gpu.bus_id()}">'
        for node in _Report(gpu, "xml").nodes():
            yield from _elements(node, 2)
        yield "\t</gpu>"
        yield ""
    yield "</nvidia_smi_log>"
