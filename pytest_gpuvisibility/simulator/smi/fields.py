"""--query-gpu and --query-compute-apps: every field that the real program documents."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from .nvml import (
    INVALID_ARGUMENT,
    NOT_SUPPORTED,
    AddressingMode,
    Bar1,
    Exit,
    Fabric,
    Gpu,
    Margin,
    NvmlError,
    Pci,
    PciExt,
    Platform,
    Remapping,
    Utilization,
)

NOT_AVAILABLE = "N/A"


def mebibytes(count: int) -> str:
    return str(count // 2**20)


def enabled(state: int) -> str:
    return "Enabled" if state else "Disabled"


def yes(state: int) -> str:
    return "Yes" if state else "No"


def active(state: int) -> str:
    return "Active" if state else "Not Active"


def instance(number: int) -> str:
    """A GPU or compute instance's id; none is 0xFFFFFFFF."""
    return NOT_AVAILABLE if number == 0xFFFFFFFF else str(number)


COMPUTE_MODES = ("Default", "Exclusive_Thread", "Prohibited", "Exclusive_Process")


def or_not_available(read: Callable[[], str]) -> str:
    """What `read` returns; as the real program has it, "N/A" or the error where NVML has no answer."""
    try:
        return read()
    except NvmlError as error:
        return NOT_AVAILABLE if error.code == NOT_SUPPORTED else str(error)


# ---- the fields ----

Reader = Callable[[Gpu], str]


def _uint_of(function: str, *middle: object, show: Callable[[int], str] = str) -> Reader:
    return lambda gpu: show(gpu.uint(function, *middle))


def _text_of(function: str, *middle: object) -> Reader:
    return lambda gpu: gpu.text(function, *middle)


def _memory_of(part: str) -> Reader:
    return lambda gpu: mebibytes(getattr(gpu.memory(), part))


def _pair_of(function: str, position: int, show: Callable[[int], str]) -> Reader:
    return lambda gpu: show(gpu.pair(function)[position])


def _power_of(function: str) -> Reader:
    return lambda gpu: gpu.power(function)


def _pci_of(part: str, digits: int) -> Reader:
    return lambda gpu: f"0x{getattr(gpu.fill(Pci, 'nvmlDeviceGetPciInfo_v3'), part):0{digits}X}"


def _class_of(part: str) -> Reader:
    return lambda gpu: f"0x{getattr(gpu.fill(PciExt, 'nvmlDeviceGetPciInfoExt', version=1), part):X}"


def utilization_of(part: str) -> Reader:
    return lambda gpu: str(getattr(gpu.fill(Utilization, "nvmlDeviceGetUtilizationRates"), part))


def _engine_of(engine: str) -> Reader:
    return lambda gpu: str(gpu.pair(f"nvmlDeviceGet{engine}Utilization")[0])


def _histogram_of(part: str) -> Reader:
    return lambda gpu: str(getattr(gpu.fill(Remapping, "nvmlDeviceGetRowRemapperHistogram"), part))


def _platform_of(part: str) -> Reader:
    return lambda gpu: str(getattr(gpu.fill(Platform, "nvmlDeviceGetPlatformInfo", version=2), part))


def _remapped(position: int, show: Callable[[int], str] = str) -> Reader:
    def read(gpu: Gpu) -> str:
        values = [ctypes.c_uint() for _ in range(4)]
        gpu.nvml.call("nvmlDeviceGetRemappedRows", gpu.handle, *(ctypes.byref(value) for value in values))
        return show(values[position].value)

    return read


def _encoder(position: int) -> Reader:
    def read(gpu: Gpu) -> str:
        values = [ctypes.c_uint() for _ in range(3)]
        gpu.nvml.call("nvmlDeviceGetEncoderStats", gpu.handle, *(ctypes.byref(value) for value in values))
        return str(values[position].value)

    return read


def _reasons(gpu: Gpu, function: str) -> int:
    value = ctypes.c_ulonglong()
    gpu.nvml.call(function, gpu.handle, ctypes.byref(value))
    return value.value


def _reason(bit: int) -> Reader:
    return lambda gpu: active(_reasons(gpu, "nvmlDeviceGetCurrentClocksEventReasons") & bit)


def without_errors(gpu: Gpu) -> str:
    """An ECC counter that the GPU has: a simulated one never errs."""
    gpu.pair("nvmlDeviceGetEccMode")
    return "0"


def _threshold_exceeded(gpu: Gpu) -> str:
    return yes(int(without_errors(gpu)))


def _compute_capability(gpu: Gpu) -> str:
    major, minor = gpu.pair("nvmlDeviceGetCudaComputeCapability")
    return f"{major}.{minor}"


def _memory_temperature(gpu: Gpu) -> str:
    try:
        return str(gpu.field(82))
    except NvmlError:
        return NOT_AVAILABLE  # without the brackets of other fields


FABRIC_STATES = {1: "Not Started", 2: "In Progress", 3: "Completed"}


def _fabric(show: Callable[[ctypes.Structure], str]) -> Reader:
    """A part of nvmlDeviceGetGpuFabricInfoV; "N/A" without the brackets of other fields where there is none."""

    def reader(gpu: Gpu) -> str:
        try:
            return show(gpu.fill(Fabric, "nvmlDeviceGetGpuFabricInfoV", version=3))
        except NvmlError:
            return NOT_AVAILABLE

    return reader


def _cluster(fabric: ctypes.Structure) -> str:
    text = bytes(fabric.cluster).hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _retired(cause: int) -> Reader:
    return lambda gpu: str(len(gpu.numbers("nvmlDeviceGetRetiredPages", cause)))


def _edpp(gpu: Gpu) -> str:
    """A setting of Hopper boards, which NVML's public functions do not read."""
    if gpu.uint("nvmlDeviceGetArchitecture") != 9:
        raise NvmlError(NOT_SUPPORTED, "Not Supported")
    return "100.00"


def _protected(gpu: Gpu) -> str:
    gpu.fill(Bar1, "nvmlDeviceGetConfComputeProtectedMemoryUsage")
    return "0"


def _clock(function: str, kind: int) -> Reader:
    return _uint_of(f"nvmlDeviceGet{function}", kind)


def timestamp(_gpu: Gpu | None = None) -> str:
    now = time.time()
    return time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(now)) + f".{int(now % 1 * 1000):03d}"


def _constant(value: str) -> Reader:
    return lambda gpu: value


_graphics, _sm, _mem, _video = range(4)

# name of the column, unit, how it is read; without a reader it is one that no simulated GPU has.
FIELDS: dict[str, tuple[str, Reader | None]] = {
    "timestamp": ("", timestamp),
    "driver_version": ("", lambda gpu: gpu.nvml.driver_version()),
    "kmd_version": ("", lambda gpu: gpu.nvml.driver_version()),
    "count": ("", lambda gpu: str(gpu.nvml.count())),
    "name": ("", Gpu.name),
    "serial": ("", _text_of("nvmlDeviceGetSerial")),
    "uuid": ("", Gpu.uuid),
    "pci.bus_id": ("", Gpu.bus_id),
    "pci.domain": ("", _pci_of("domain", 4)),
    "pci.bus": ("", _pci_of("bus", 2)),
    "pci.device": ("", _pci_of("device", 2)),
    "pci.baseClass": ("", _class_of("base_class")),
    "pci.subClass": ("", _class_of("sub_class")),
    "pci.device_id": ("", _pci_of("device_id", 8)),
    "pci.sub_device_id": ("", _pci_of("subsystem_id", 8)),
    "pcie.link.gen.current": ("", _uint_of("nvmlDeviceGetCurrPcieLinkGeneration")),
    "pcie.link.gen.gpucurrent": ("", _uint_of("nvmlDeviceGetCurrPcieLinkGeneration")),
    "pcie.link.gen.max": ("", _uint_of("nvmlDeviceGetMaxPcieLinkGeneration")),
    "pcie.link.gen.gpumax": ("", _uint_of("nvmlDeviceGetGpuMaxPcieLinkGeneration")),
    "pcie.link.width.current": ("", _uint_of("nvmlDeviceGetCurrPcieLinkWidth")),
    "pcie.link.width.max": ("", _uint_of("nvmlDeviceGetMaxPcieLinkWidth")),
    "index": ("", lambda gpu: str(gpu.index())),
    "display_mode": ("", _uint_of("nvmlDeviceGetDisplayMode", show=enabled)),
    "display_attached": ("", _constant("Yes")),
    "display_active": ("", _uint_of("nvmlDeviceGetDisplayActive", show=enabled)),
    "persistence_mode": ("", _uint_of("nvmlDeviceGetPersistenceMode", show=enabled)),
    "addressing_mode": (
        "",
        lambda gpu: ("None", "HMM", "ATS")[gpu.fill(AddressingMode, "nvmlDeviceGetAddressingMode", version=1).value],
    ),
    "accounting.mode": ("", _uint_of("nvmlDeviceGetAccountingMode", show=enabled)),
    "accounting.buffer_size": ("", _uint_of("nvmlDeviceGetAccountingBufferSize")),
    "vbios_version": ("", _text_of("nvmlDeviceGetVbiosVersion")),
    "inforom.img": ("", _text_of("nvmlDeviceGetInforomImageVersion")),
    "inforom.oem": ("", _text_of("nvmlDeviceGetInforomVersion", 0)),
    "inforom.ecc": ("", _text_of("nvmlDeviceGetInforomVersion", 1)),
    "inforom.pwr": ("", _text_of("nvmlDeviceGetInforomVersion", 2)),
    "inforom.checksum_validation": ("", _constant("valid")),
    "gpu_recovery_action": ("", _constant("None")),
    "fan.speed": ("%", _uint_of("nvmlDeviceGetFanSpeed")),
    "pstate": ("", _uint_of("nvmlDeviceGetPerformanceState", show="P{}".format)),
    "clocks_event_reasons.supported": (
        "",
        lambda gpu: f"0x{_reasons(gpu, 'nvmlDeviceGetSupportedClocksEventReasons'):016X}",
    ),
    "clocks_event_reasons.active": (
        "",
        lambda gpu: f"0x{_reasons(gpu, 'nvmlDeviceGetCurrentClocksEventReasons'):016X}",
    ),
    "clocks_event_reasons.gpu_idle": ("", _reason(0x1)),
    "clocks_event_reasons.applications_clocks_setting": ("", _reason(0x2)),
    "clocks_event_reasons.sw_power_cap": ("", _reason(0x4)),
    "clocks_event_reasons.hw_slowdown": ("", _reason(0x8)),
    "clocks_event_reasons.hw_thermal_slowdown": ("", _reason(0x40)),
    "clocks_event_reasons.hw_power_brake_slowdown": ("", _reason(0x80)),
    "clocks_event_reasons.sw_thermal_slowdown": ("", _reason(0x20)),
    "clocks_event_reasons.sync_boost": ("", _reason(0x10)),
    "memory.total": ("MiB", _memory_of("total")),
    "memory.reserved": ("MiB", _memory_of("reserved")),
    "memory.used": ("MiB", _memory_of("used")),
    "memory.free": ("MiB", _memory_of("free")),
    "compute_mode": ("", _uint_of("nvmlDeviceGetComputeMode", show=COMPUTE_MODES.__getitem__)),
    "compute_cap": ("", _compute_capability),
    "utilization.gpu": ("%", utilization_of("gpu")),
    "utilization.memory": ("%", utilization_of("memory")),
    "utilization.encoder": ("%", _engine_of("Encoder")),
    "utilization.decoder": ("%", _engine_of("Decoder")),
    "utilization.jpeg": ("%", _engine_of("Jpg")),
    "utilization.ofa": ("%", _engine_of("Ofa")),
    "encoder.stats.sessionCount": ("", _encoder(0)),
    "encoder.stats.averageFps": ("", _encoder(1)),
    "encoder.stats.averageLatency": ("", _encoder(2)),
    "ecc.mode.current": ("", _pair_of("nvmlDeviceGetEccMode", 0, enabled)),
    "ecc.mode.pending": ("", _pair_of("nvmlDeviceGetEccMode", 1, enabled)),
    "remapped_rows.correctable": ("", _remapped(0)),
    "remapped_rows.correctable_inactive": ("", _remapped(0)),
    "remapped_rows.uncorrectable": ("", _remapped(1)),
    "remapped_rows.uncorrectable_inactive": ("", _remapped(1)),
    "remapped_rows.pending": ("", _remapped(2, yes)),
    "remapped_rows.failure": ("", _remapped(3, yes)),
    "temperature.gpu": ("", _uint_of("nvmlDeviceGetTemperature", 0)),
    "temperature.gpu.tlimit": (
        "",
        lambda gpu: str(gpu.fill(Margin, "nvmlDeviceGetMarginTemperature", version=1).temperature),
    ),
    "temperature.memory": ("", _memory_temperature),
    "power.management": ("", _uint_of("nvmlDeviceGetPowerManagementMode", show=enabled)),
    "power.draw": ("W", _power_of("nvmlDeviceGetPowerUsage")),
    "power.draw.average": ("W", lambda gpu: f"{gpu.field(185) / 1000:.2f}"),
    "power.draw.instant": ("W", lambda gpu: f"{gpu.field(186) / 1000:.2f}"),
    "power.limit": ("W", _power_of("nvmlDeviceGetPowerManagementLimit")),
    "enforced.power.limit": ("W", _power_of("nvmlDeviceGetEnforcedPowerLimit")),
    "power.default_limit": ("W", _power_of("nvmlDeviceGetPowerManagementDefaultLimit")),
    "power.min_limit": ("W", lambda gpu: gpu.power_limits()[0]),
    "power.max_limit": ("W", lambda gpu: gpu.power_limits()[1]),
    "clocks.current.graphics": ("MHz", _clock("ClockInfo", _graphics)),
    "clocks.current.sm": ("MHz", _clock("ClockInfo", _sm)),
    "clocks.current.memory": ("MHz", _clock("ClockInfo", _mem)),
    "clocks.current.video": ("MHz", _clock("ClockInfo", _video)),
    "clocks.applications.graphics": ("MHz", _clock("ApplicationsClock", _graphics)),
    "clocks.applications.memory": ("MHz", _clock("ApplicationsClock", _mem)),
    "clocks.default_applications.graphics": ("MHz", _clock("DefaultApplicationsClock", _graphics)),
    "clocks.default_applications.memory": ("MHz", _clock("DefaultApplicationsClock", _mem)),
    "clocks.max.graphics": ("MHz", _clock("MaxClockInfo", _graphics)),
    "clocks.max.sm": ("MHz", _clock("MaxClockInfo", _sm)),
    "clocks.max.memory": ("MHz", _clock("MaxClockInfo", _mem)),
    "mig.mode.current": ("", Gpu.mig_mode),
    "mig.mode.pending": ("", Gpu.mig_mode),
    "gsp.mode.current": ("", _pair_of("nvmlDeviceGetGspFirmwareMode", 0, enabled)),
    "gsp.mode.default": ("", _pair_of("nvmlDeviceGetGspFirmwareMode", 1, enabled)),
    "c2c.mode": ("", _uint_of("nvmlDeviceGetC2cModeInfoV", show=enabled)),
    "fabric.state": ("", _fabric(lambda fabric: FABRIC_STATES.get(fabric.state, NOT_AVAILABLE))),
    "fabric.status": ("", _fabric(lambda fabric: "Failure" if fabric.status else "Success")),
    "fabric.cliqueId": ("", _fabric(lambda fabric: str(fabric.clique))),
    "fabric.clusterUuid": ("", _fabric(_cluster)),
    "retired_pages.single_bit_ecc.count": ("", _retired(0)),
    "retired_pages.double_bit.count": ("", _retired(1)),
    "retired_pages.pending": ("", _uint_of("nvmlDeviceGetRetiredPagesPendingStatus", show=yes)),
    "edpp_multiplier": ("%", _edpp),
    "protected_memory.total": ("MiB", _protected),
    "protected_memory.used": ("MiB", _protected),
    "protected_memory.free": ("MiB", _protected),
    "platform.chassis_serial_number": ("", _constant("")),
    "platform.slot_number": ("", _platform_of("slot")),
    "platform.tray_index": ("", _platform_of("tray")),
    "platform.host_id": ("", _platform_of("host")),
    "platform.peer_type": ("", _constant("Direct Connected")),
    "platform.module_id": ("", _platform_of("module")),
    "platform.gpu_fabric_guid": ("", _constant("0x0000000000000000")),
}

# Fields that come in families, and those that no simulated GPU has.
_REASONS = "sw_power_cap sync_boost sw_thermal_slowdown hw_thermal_slowdown hw_power_brake_slowdown"
_ECC_PLACES = "device_memory dram register_file l1_cache l2_cache texture_memory cbu sram total"
_ECC_COUNTED = "device_memory dram sram total"
_SRAM = """
volatile.sram.parity volatile.sram.secded aggregate.sram.parity aggregate.sram.secded
aggregate.sram.thresholdExceeded aggregate.sram.l2 aggregate.sram.sm aggregate.sram.mcu aggregate.sram.pcie
aggregate.sram.other
"""
_FABRIC_HEALTH = """
summary bandwidth route_recovery_in_progress route_unhealthy access_timeout_recovery incorrect_configuration
partition_assigned
"""
_ABSENT = """
vgpu_driver_capability.heterogenous_multivGPU vgpu_device_capability.fractional_multiVgpu
vgpu_device_capability.heterogeneous_timeSlice_profile vgpu_device_capability.heterogeneous_timeSlice_sizes
vgpu_device_capability.homogeneous_placements vgpu_device_capability.mig_timeSlicing
vgpu_device_capability.mig_timeSlicing_mode pcie.link.gen.hostmax driver_model.current driver_model.pending
gom.current gom.pending dramEncryption.mode.current dramEncryption.mode.pending
hostname
power_smoothing.delayed_power_smoothing_supported
power_smoothing.curr_profile.primary_floor_act_window_multiplier
power_smoothing.curr_profile.primary_floor_tar_window_multiplier
power_smoothing.admin_override.primary_floor_act_window_multiplier
power_smoothing.admin_override.primary_floor_tar_window_multiplier
"""
_ABSENT_WATTS = """
module.power.draw.average module.power.draw.instant module.power.limit module.enforced.power.limit
module.power.default_limit module.power.min_limit module.power.max_limit
power_smoothing.primary_power_floor power_smoothing.secondary_power_floor
power_smoothing.min_primary_floor_activation_offset power_smoothing.min_primary_floor_activation_point
power_smoothing.curr_profile.secondary_power_floor power_smoothing.curr_profile.primary_floor_act_offset
power_smoothing.admin_override.secondary_power_floor power_smoothing.admin_override.primary_floor_act_offset
"""
for _part in Remapping._fields_:
    FIELDS[f"remapped_rows.histogram.{_part[0]}"] = ("", _histogram_of(_part[0]))
FIELDS |= {f"clocks_event_reasons_counters.{_reason_}": ("us", _constant("0")) for _reason_ in _REASONS.split()}
for _counter in (
    "corrected.volatile",
    "corrected.aggregate",
    "uncorrected.volatile",
    "uncorrected.aggregate",
):
    for _place in _ECC_PLACES.split():
        FIELDS[f"ecc.errors.{_counter}.{_place}"] = ("", without_errors if _place in _ECC_COUNTED.split() else None)
FIELDS |= {f"ecc.errors.uncorrected.{_place}": ("", without_errors) for _place in _SRAM.split()}
FIELDS["ecc.errors.uncorrected.aggregate.sram.thresholdExceeded"] = ("", _threshold_exceeded)
FIELDS |= {f"fabric.health.{_name}": ("", _constant(NOT_AVAILABLE)) for _name in _FABRIC_HEALTH.split()}
FIELDS |= dict.fromkeys(_ABSENT.split(), ("", None))
FIELDS |= dict.fromkeys(_ABSENT_WATTS.split(), ("W", None))
FIELDS |= {"power_smoothing.window_multiplier": ("ms", None)}

# The order of --help-query-gpu, by how names begin: one line for fields that stand together in the order above.
_ORDER = """
timestamp
driver_version
kmd_version
vgpu_driver_capability.
count name serial uuid pci.
vgpu_device_capability.
pcie.link.gen.
pcie.
index display_ persistence_mode addressing_mode accounting.
driver_model.
vbios_version inforom. gpu_recovery_action
gom.
fan.speed pstate clocks_event_reasons.
clocks_event_reasons_counters.
memory. compute_ utilization. encoder.
dramEncryption.
ecc.mode.
ecc.errors.
retired_pages.
remapped_rows.correctable remapped_rows.uncorrectable remapped_rows.pending remapped_rows.failure
remapped_rows.histogram.
temperature.
power. enforced.
module.power.draw. module.power.limit
module.enforced.
module.power.
power_smoothing.delayed
power_smoothing.primary power_smoothing.secondary power_smoothing.min
power_smoothing.window
power_smoothing.curr_profile.secondary
power_smoothing.curr_profile.primary_floor_act_window power_smoothing.curr_profile.primary_floor_tar
power_smoothing.curr_profile.
power_smoothing.admin_override.secondary
power_smoothing.admin_override.primary_floor_act_window power_smoothing.admin_override.primary_floor_tar
power_smoothing.admin_override.
edpp_multiplier
clocks.
mig.mode.
gsp.mode.
c2c.mode
protected_memory.
fabric.state fabric.status fabric.c
fabric.health.
platform.
hostname
"""
_PLACES = {begin: place for place, line in enumerate(_ORDER.split("\n")) for begin in line.split()}


def _place_of(field: str) -> int:
    return next(_PLACES[field[:end]] for end in range(len(field), 0, -1) if field[:end] in _PLACES)


FIELDS = {field: FIELDS[field] for field in sorted(FIELDS, key=_place_of)}

# Fields of newer drivers only, and of older ones only: the branch that brought them or gave them up.
_SINCE_595 = """
kmd_version remapped_rows.correctable_inactive remapped_rows.uncorrectable_inactive fabric.health.partition_assigned
"""


def known_to(branch: int) -> list[str]:
    """The fields that a driver of the branch knows, in its order."""
    newer = _SINCE_595.split()
    return [
        field
        for field in FIELDS
        if not (branch < 595 and field in newer) and not (branch >= 595 and field.startswith("power_smoothing."))
    ]


# The real program's other names of a field; the column has the first.
_ALIASES = """
gpu_name name
gpu_serial serial
gpu_uuid uuid
gpu_bus_id pci.bus_id
inforom.image inforom.img
inforom.power inforom.pwr
gpu_operation_mode.current gom.current
gpu_operation_mode.pending gom.pending
retired_pages.sbe retired_pages.single_bit_ecc.count
retired_pages.dbe retired_pages.double_bit.count
remapped_rows.sbe remapped_rows.correctable
remapped_rows.dbe remapped_rows.uncorrectable
gpu.power.draw.average power.draw.average
gpu.power.draw.instant power.draw.instant
gpu.power.requested_limit power.limit
gpu.power.current_limit enforced.power.limit
gpu.power.default_limit power.default_limit
gpu.power.min_limit power.min_limit
gpu.power.max_limit power.max_limit
module.power.requested_limit module.power.limit
module.power.current_limit module.enforced.power.limit
clocks.gr clocks.current.graphics
clocks.sm clocks.current.sm
clocks.mem clocks.current.memory
clocks.video clocks.current.video
clocks.applications.gr clocks.applications.graphics
clocks.applications.mem clocks.applications.memory
clocks.default_applications.gr clocks.default_applications.graphics
clocks.default_applications.mem clocks.default_applications.memory
clocks.max.gr clocks.max.graphics
clocks.max.sm clocks.max.sm
clocks.max.mem clocks.max.memory
"""
ALIASES = dict(line.split() for line in _ALIASES.split("\n") if line)
ALIASES |= {name.replace("event", "throttle", 1): name for name in FIELDS if name.startswith("clocks_event_reasons.")}


def read(gpu: Gpu, field: str) -> str:
    """A field of --query-gpu with its unit, as -q writes it: "N/A" without the brackets of csv."""
    unit, reader = FIELDS[field]
    if reader is None:
        return NOT_AVAILABLE
    value = or_not_available(lambda: reader(gpu))
    return f"{value} {unit}" if unit and value[:1].isdigit() else value


def csv_value(read: Callable[[], str], unit: str) -> str:
    """A value as a csv cell: with its unit, or why there is none, in brackets."""
    try:
        value = read()
    except NvmlError as error:
        return f"[{NOT_AVAILABLE}]" if error.code == NOT_SUPPORTED else f"[{error}]"
    return f"{value} {unit}" if unit else value


def header(names: Iterable[str], units: Iterable[str]) -> str:
    return ", ".join(f"{name} [{unit}]" if unit else name for name, unit in zip(names, units, strict=True))


def known(names: str, aliases: dict[str, str], existing: Iterable[str]) -> list[str]:
    """The fields of a comma-separated list by their first names; Exit at one that does not exist."""
    fields = []
    for name in names.split(","):
        field = aliases.get(name.strip(), name.strip())
        if field not in existing:
            raise Exit(f'Field "{name.strip()}" is not a valid field to query.\n\n', INVALID_ARGUMENT)
        fields.append(field)
    return fields


def _gpu_cell(gpu: Gpu, field: str, units: bool) -> str:
    unit, reader = FIELDS[field]
    if reader is None:
        return f"[{NOT_AVAILABLE}]"
    return csv_value(lambda: reader(gpu), unit if units else "")


def gpu_rows(gpus: Iterable[Gpu], fields: Sequence[str], units: bool) -> Iterator[str]:
    for gpu in gpus:
        yield ", ".join(_gpu_cell(gpu, field, units) for field in fields)


# ---- --query-compute-apps ----

PROCESS_FIELDS: dict[str, tuple[str, Callable[[Gpu, ctypes.Structure], str]]] = {
    "timestamp": ("", lambda gpu, process: timestamp()),
    "gpu_name": ("", lambda gpu, process: gpu.name()),
    "gpu_bus_id": ("", lambda gpu, process: gpu.bus_id()),
    "gpu_serial": ("", lambda gpu, process: gpu.text("nvmlDeviceGetSerial")),
    "gpu_uuid": ("", lambda gpu, process: gpu.uuid()),
    "pid": ("", lambda gpu, process: str(process.pid)),
    "process_name": ("", lambda gpu, process: gpu.nvml.process_name(process.pid)),
    "used_gpu_memory": ("MiB", lambda gpu, process: mebibytes(process.bytes)),
}
PROCESS_ALIASES = {"name": "process_name", "used_memory": "used_gpu_memory"}


def _process_cell(gpu: Gpu, process: ctypes.Structure, field: str, units: bool) -> str:
    unit, reader = PROCESS_FIELDS[field]
    return csv_value(lambda: reader(gpu, process), unit if units else "")


def process_rows(gpus: Iterable[Gpu], fields: Sequence[str], units: bool) -> Iterator[str]:
    for gpu in gpus:
        for process in gpu.processes():
            yield ", ".join(_process_cell(gpu, process, field, units) for field in fields)
