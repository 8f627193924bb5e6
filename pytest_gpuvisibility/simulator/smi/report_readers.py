"""What the lines of -q and -q -x show, by the names that report_lines.py gives them."""

from __future__ import annotations

from collections.abc import Callable

from .fields import FIELDS, read
from .nvml import Attributes, Gpu, Pdi, Remapping, Repair, Unit, Unrepairable
from .wording import NOT_AVAILABLE, mebibytes, yes

ARCHITECTURES = {2: "Kepler", 3: "Maxwell", 4: "Pascal", 5: "Volta", 6: "Turing", 7: "Ampere"} | {
    8: "Ada Lovelace",
    9: "Hopper",
    10: "Blackwell",
}
AMPERE, ADA, HOPPER = 7, 8, 9
BRANDS = {1: "Quadro", 2: "Tesla", 5: "GeForce", 6: "Titan", 12: "Quadro RTX", 13: "NVIDIA RTX", 14: "NVIDIA"}


def mib(count: int) -> str:
    return f"{mebibytes(count)} MiB"


def _degrees(gpu: Gpu, threshold: int) -> str:
    return f"{gpu.uint('nvmlDeviceGetTemperatureThreshold', threshold)} C"


def _throughput(gpu: Gpu, counter: int) -> str:
    return f"{gpu.uint('nvmlDeviceGetPcieThroughput', counter)} KB/s"


def _banks(gpu: Gpu, part: str) -> str:
    return f"{getattr(gpu.fill(Remapping, 'nvmlDeviceGetRowRemapperHistogram'), part)} bank(s)"


def _part_number(gpu: Gpu) -> str:
    """ "20B2-895-A1": the chip's PCI device, the board's variant, the chip's revision."""
    device = FIELDS["pci.device_id"][1]
    assert device
    chip = device(gpu)[2:6]
    variants = {"2330": "885", "26B9": "896", "1E81": "450", "2216": "202"}
    return f"{chip}-{variants.get(chip, '895')}-A1"


def _power_state(gpu: Gpu) -> str:
    if gpu.nvml.branch() >= 590:
        return "Requested functionality has been deprecated"
    return f"P{gpu.uint('nvmlDeviceGetPerformanceState')}"


def _retired_list(gpu: Gpu) -> str:
    gpu.uint("nvmlDeviceGetRetiredPagesPendingStatus")
    return "\n"


def architecture(gpu: Gpu) -> int:
    return gpu.uint("nvmlDeviceGetArchitecture")


def _below_limit(gpu: Gpu) -> str:
    margin = read(gpu, "temperature.gpu.tlimit")
    return margin if margin == NOT_AVAILABLE else f"{margin} C"


def _edpp(gpu: Gpu) -> str:
    return read(gpu, "edpp_multiplier").replace(" %", "%")


GPU_READERS: dict[str, Callable[[Gpu], str]] = {
    "brand": lambda gpu: BRANDS.get(gpu.uint("nvmlDeviceGetBrand"), NOT_AVAILABLE),
    "architecture": lambda gpu: ARCHITECTURES.get(architecture(gpu), NOT_AVAILABLE),
    "pdi": lambda gpu: f"0x{gpu.fill(Pdi, 'nvmlDeviceGetPdi', version=1).value:x}",
    "minor": lambda gpu: str(gpu.uint("nvmlDeviceGetMinorNumber")),
    "several": lambda gpu: yes(gpu.uint("nvmlDeviceGetMultiGpuBoard")),
    "board": lambda gpu: f"0x{gpu.uint('nvmlDeviceGetBoardId'):x}",
    "board_part": lambda gpu: gpu.text("nvmlDeviceGetBoardPartNumber"),
    "gpu_part": _part_number,
    "module": lambda gpu: str(gpu.uint("nvmlDeviceGetModuleId")),
    "firmware": lambda gpu: gpu.text("nvmlDeviceGetGspFirmwareVersion"),
    "virtualization": lambda gpu: ("None", "Pass-Through")[gpu.uint("nvmlDeviceGetVirtualizationMode")],
    "width": lambda gpu: f"{gpu.uint('nvmlDeviceGetMaxPcieLinkWidth')}x",
    "replays": lambda gpu: str(gpu.uint("nvmlDeviceGetPcieReplayCounter")),
    "sent": lambda gpu: _throughput(gpu, 0),
    "received": lambda gpu: _throughput(gpu, 1),
    "display_clocks": lambda gpu: "Not Active",
    "sparse": lambda gpu: "Disabled" if architecture(gpu) == HOPPER else NOT_AVAILABLE,
    "bar1_total": lambda gpu: mib(gpu.bar1().total),
    "bar1_used": lambda gpu: mib(gpu.bar1().used),
    "bar1_free": lambda gpu: mib(gpu.bar1().free),
    "channel_repair": lambda gpu: yes(gpu.fill(Repair, "nvmlDeviceGetRepairStatus", version=1).channel),
    "tpc_repair": lambda gpu: yes(gpu.fill(Repair, "nvmlDeviceGetRepairStatus", version=1).tpc),
    "unrepairable": lambda gpu: yes(gpu.fill(Unrepairable, "nvmlDeviceGetUnrepairableMemoryFlag_v1").value),
    "retired_list": _retired_list,
    "banks_max": lambda gpu: _banks(gpu, "max"),
    "banks_high": lambda gpu: _banks(gpu, "high"),
    "banks_partial": lambda gpu: _banks(gpu, "partial"),
    "banks_low": lambda gpu: _banks(gpu, "low"),
    "banks_none": lambda gpu: _banks(gpu, "none"),
    "temperature": lambda gpu: f"{gpu.uint('nvmlDeviceGetTemperature', 0)} C",
    "below_limit": _below_limit,
    "shutdown": lambda gpu: _degrees(gpu, 0),
    "slowdown": lambda gpu: _degrees(gpu, 1),
    "highest_memory": lambda gpu: _degrees(gpu, 2),
    "highest": lambda gpu: _degrees(gpu, 3),
    "lowest_target": lambda gpu: _degrees(gpu, 4),
    "target": lambda gpu: _degrees(gpu, 5),
    "highest_target": lambda gpu: _degrees(gpu, 6),
    "memory_temperature": lambda gpu: f"{gpu.field(82)} C",
    "shutdown_limit": lambda gpu: f"{gpu.field(193)} C",
    "slowdown_limit": lambda gpu: f"{gpu.field(194)} C",
    "memory_limit": lambda gpu: f"{gpu.field(195)} C",
    "highest_limit": lambda gpu: f"{gpu.field(196)} C",
    "power_state": _power_state,
    "memory_power": lambda gpu: f"{gpu.field(185, scope=2) / 1000:.2f} W",
    "edpp": _edpp,
    "max_video": lambda gpu: f"{gpu.uint('nvmlDeviceGetMaxClockInfo', 3)} MHz",
    "customer_boost": lambda gpu: f"{gpu.uint('nvmlDeviceGetMaxCustomerBoostClock', 0)} MHz",
}


def _shared(slice_: Unit, part: str) -> str:
    return str(getattr(slice_.fill(Attributes, "nvmlDeviceGetAttributes_v2"), part))


SLICE_READERS: dict[str, Callable[[Unit], str]] = {
    "index": lambda slice_: str(slice_.index()),
    "gpu_instance": lambda slice_: str(slice_.uint("nvmlDeviceGetGpuInstanceId")),
    "compute_instance": lambda slice_: str(slice_.uint("nvmlDeviceGetComputeInstanceId")),
    "multiprocessors": lambda slice_: _shared(slice_, "multiprocessors"),
    "copy_engines": lambda slice_: _shared(slice_, "copy_engines"),
    "encoders": lambda slice_: _shared(slice_, "encoders"),
    "decoders": lambda slice_: _shared(slice_, "decoders"),
    "ofa": lambda slice_: _shared(slice_, "ofa"),
    "jpeg": lambda slice_: _shared(slice_, "jpeg"),
    "total": lambda slice_: mib(slice_.memory().total),
    "reserved": lambda slice_: mib(slice_.memory().reserved),
    "used": lambda slice_: mib(slice_.memory().used),
    "free": lambda slice_: mib(slice_.memory().free),
    "bar1_total": lambda slice_: mib(slice_.bar1().total),
    "bar1_used": lambda slice_: mib(slice_.bar1().used),
    "bar1_free": lambda slice_: mib(slice_.bar1().free),
}
