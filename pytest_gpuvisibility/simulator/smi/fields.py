"""Every field of --query-gpu that the real program documents: its unit, and how it is read."""

from __future__ import annotations

from .nvml import AddressingMode, Gpu, Margin, Remapping
from .readers import (
    FABRIC_STATES,
    Reader,
    class_of,
    clock,
    cluster,
    compute_capability,
    constant,
    edpp,
    encoder,
    engine_of,
    fabric,
    histogram_of,
    memory_of,
    memory_temperature,
    pair_of,
    pci_of,
    platform_of,
    power_of,
    protected,
    reason,
    reasons,
    remapped,
    retired,
    text_of,
    threshold_exceeded,
    timestamp,
    uint_of,
    utilization_of,
    without_errors,
)
from .wording import COMPUTE_MODES, NOT_AVAILABLE, enabled, or_not_available, yes

_graphics, _sm, _mem, _video = range(4)

# Name of the column, unit, how it is read; without a reader it is one that no simulated GPU has.
FIELDS: dict[str, tuple[str, Reader | None]] = {
    "timestamp": ("", timestamp),
    "driver_version": ("", lambda gpu: gpu.nvml.driver_version()),
    "kmd_version": ("", lambda gpu: gpu.nvml.driver_version()),
    "count": ("", lambda gpu: str(gpu.nvml.count())),
    "name": ("", Gpu.name),
    "serial": ("", text_of("nvmlDeviceGetSerial")),
    "uuid": ("", Gpu.uuid),
    "pci.bus_id": ("", Gpu.bus_id),
    "pci.domain": ("", pci_of("domain", 4)),
    "pci.bus": ("", pci_of("bus", 2)),
    "pci.device": ("", pci_of("device", 2)),
    "pci.baseClass": ("", class_of("base_class")),
    "pci.subClass": ("", class_of("sub_class")),
    "pci.device_id": ("", pci_of("device_id", 8)),
    "pci.sub_device_id": ("", pci_of("subsystem_id", 8)),
    "pcie.link.gen.current": ("", uint_of("nvmlDeviceGetCurrPcieLinkGeneration")),
    "pcie.link.gen.gpucurrent": ("", uint_of("nvmlDeviceGetCurrPcieLinkGeneration")),
    "pcie.link.gen.max": ("", uint_of("nvmlDeviceGetMaxPcieLinkGeneration")),
    "pcie.link.gen.gpumax": ("", uint_of("nvmlDeviceGetGpuMaxPcieLinkGeneration")),
    "pcie.link.width.current": ("", uint_of("nvmlDeviceGetCurrPcieLinkWidth")),
    "pcie.link.width.max": ("", uint_of("nvmlDeviceGetMaxPcieLinkWidth")),
    "index": ("", lambda gpu: str(gpu.index())),
    "display_mode": ("", uint_of("nvmlDeviceGetDisplayMode", show=enabled)),
    "display_attached": ("", constant("Yes")),
    "display_active": ("", uint_of("nvmlDeviceGetDisplayActive", show=enabled)),
    "persistence_mode": ("", uint_of("nvmlDeviceGetPersistenceMode", show=enabled)),
    "addressing_mode": (
        "",
        lambda gpu: ("None", "HMM", "ATS")[gpu.fill(AddressingMode, "nvmlDeviceGetAddressingMode", version=1).value],
    ),
    "accounting.mode": ("", uint_of("nvmlDeviceGetAccountingMode", show=enabled)),
    "accounting.buffer_size": ("", uint_of("nvmlDeviceGetAccountingBufferSize")),
    "vbios_version": ("", text_of("nvmlDeviceGetVbiosVersion")),
    "inforom.img": ("", text_of("nvmlDeviceGetInforomImageVersion")),
    "inforom.oem": ("", text_of("nvmlDeviceGetInforomVersion", 0)),
    "inforom.ecc": ("", text_of("nvmlDeviceGetInforomVersion", 1)),
    "inforom.pwr": ("", text_of("nvmlDeviceGetInforomVersion", 2)),
    "inforom.checksum_validation": ("", constant("valid")),
    "gpu_recovery_action": ("", constant("None")),
    "fan.speed": ("%", uint_of("nvmlDeviceGetFanSpeed")),
    "pstate": ("", uint_of("nvmlDeviceGetPerformanceState", show="P{}".format)),
    "clocks_event_reasons.supported": (
        "",
        lambda gpu: f"0x{reasons(gpu, 'nvmlDeviceGetSupportedClocksEventReasons'):016X}",
    ),
    "clocks_event_reasons.active": (
        "",
        lambda gpu: f"0x{reasons(gpu, 'nvmlDeviceGetCurrentClocksEventReasons'):016X}",
    ),
    "clocks_event_reasons.gpu_idle": ("", reason(0x1)),
    "clocks_event_reasons.applications_clocks_setting": ("", reason(0x2)),
    "clocks_event_reasons.sw_power_cap": ("", reason(0x4)),
    "clocks_event_reasons.hw_slowdown": ("", reason(0x8)),
    "clocks_event_reasons.hw_thermal_slowdown": ("", reason(0x40)),
    "clocks_event_reasons.hw_power_brake_slowdown": ("", reason(0x80)),
    "clocks_event_reasons.sw_thermal_slowdown": ("", reason(0x20)),
    "clocks_event_reasons.sync_boost": ("", reason(0x10)),
    "memory.total": ("MiB", memory_of("total")),
    "memory.reserved": ("MiB", memory_of("reserved")),
    "memory.used": ("MiB", memory_of("used")),
    "memory.free": ("MiB", memory_of("free")),
    "compute_mode": ("", uint_of("nvmlDeviceGetComputeMode", show=COMPUTE_MODES.__getitem__)),
    "compute_cap": ("", compute_capability),
    "utilization.gpu": ("%", utilization_of("gpu")),
    "utilization.memory": ("%", utilization_of("memory")),
    "utilization.encoder": ("%", engine_of("Encoder")),
    "utilization.decoder": ("%", engine_of("Decoder")),
    "utilization.jpeg": ("%", engine_of("Jpg")),
    "utilization.ofa": ("%", engine_of("Ofa")),
    "encoder.stats.sessionCount": ("", encoder(0)),
    "encoder.stats.averageFps": ("", encoder(1)),
    "encoder.stats.averageLatency": ("", encoder(2)),
    "ecc.mode.current": ("", pair_of("nvmlDeviceGetEccMode", 0, enabled)),
    "ecc.mode.pending": ("", pair_of("nvmlDeviceGetEccMode", 1, enabled)),
    "remapped_rows.correctable": ("", remapped(0)),
    "remapped_rows.correctable_inactive": ("", remapped(0)),
    "remapped_rows.uncorrectable": ("", remapped(1)),
    "remapped_rows.uncorrectable_inactive": ("", remapped(1)),
    "remapped_rows.pending": ("", remapped(2, yes)),
    "remapped_rows.failure": ("", remapped(3, yes)),
    "temperature.gpu": ("", uint_of("nvmlDeviceGetTemperature", 0)),
    "temperature.gpu.tlimit": (
        "",
        lambda gpu: str(gpu.fill(Margin, "nvmlDeviceGetMarginTemperature", version=1).temperature),
    ),
    "temperature.memory": ("", memory_temperature),
    "power.management": ("", uint_of("nvmlDeviceGetPowerManagementMode", show=enabled)),
    "power.draw": ("W", power_of("nvmlDeviceGetPowerUsage")),
    "power.draw.average": ("W", lambda gpu: f"{gpu.field(185) / 1000:.2f}"),
    "power.draw.instant": ("W", lambda gpu: f"{gpu.field(186) / 1000:.2f}"),
    "power.limit": ("W", power_of("nvmlDeviceGetPowerManagementLimit")),
    "enforced.power.limit": ("W", power_of("nvmlDeviceGetEnforcedPowerLimit")),
    "power.default_limit": ("W", power_of("nvmlDeviceGetPowerManagementDefaultLimit")),
    "power.min_limit": ("W", lambda gpu: gpu.power_limits()[0]),
    "power.max_limit": ("W", lambda gpu: gpu.power_limits()[1]),
    "clocks.current.graphics": ("MHz", clock("ClockInfo", _graphics)),
    "clocks.current.sm": ("MHz", clock("ClockInfo", _sm)),
    "clocks.current.memory": ("MHz", clock("ClockInfo", _mem)),
    "clocks.current.video": ("MHz", clock("ClockInfo", _video)),
    "clocks.applications.graphics": ("MHz", clock("ApplicationsClock", _graphics)),
    "clocks.applications.memory": ("MHz", clock("ApplicationsClock", _mem)),
    "clocks.default_applications.graphics": ("MHz", clock("DefaultApplicationsClock", _graphics)),
    "clocks.default_applications.memory": ("MHz", clock("DefaultApplicationsClock", _mem)),
    "clocks.max.graphics": ("MHz", clock("MaxClockInfo", _graphics)),
    "clocks.max.sm": ("MHz", clock("MaxClockInfo", _sm)),
    "clocks.max.memory": ("MHz", clock("MaxClockInfo", _mem)),
    "mig.mode.current": ("", Gpu.mig_mode),
    "mig.mode.pending": ("", Gpu.mig_mode),
    "gsp.mode.current": ("", pair_of("nvmlDeviceGetGspFirmwareMode", 0, enabled)),
    "gsp.mode.default": ("", pair_of("nvmlDeviceGetGspFirmwareMode", 1, enabled)),
    "c2c.mode": ("", uint_of("nvmlDeviceGetC2cModeInfoV", show=enabled)),
    "fabric.state": ("", fabric(lambda fabric: FABRIC_STATES.get(fabric.state, NOT_AVAILABLE))),
    "fabric.status": ("", fabric(lambda fabric: "Failure" if fabric.status else "Success")),
    "fabric.cliqueId": ("", fabric(lambda fabric: str(fabric.clique))),
    "fabric.clusterUuid": ("", fabric(cluster)),
    "retired_pages.single_bit_ecc.count": ("", retired(0)),
    "retired_pages.double_bit.count": ("", retired(1)),
    "retired_pages.pending": ("", uint_of("nvmlDeviceGetRetiredPagesPendingStatus", show=yes)),
    "edpp_multiplier": ("%", edpp),
    "protected_memory.total": ("MiB", protected),
    "protected_memory.used": ("MiB", protected),
    "protected_memory.free": ("MiB", protected),
    "platform.chassis_serial_number": ("", constant("")),
    "platform.slot_number": ("", platform_of("slot")),
    "platform.tray_index": ("", platform_of("tray")),
    "platform.host_id": ("", platform_of("host")),
    "platform.peer_type": ("", constant("Direct Connected")),
    "platform.module_id": ("", platform_of("module")),
    "platform.gpu_fabric_guid": ("", constant("0x0000000000000000")),
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
    FIELDS[f"remapped_rows.histogram.{_part[0]}"] = ("", histogram_of(_part[0]))
FIELDS |= {f"clocks_event_reasons_counters.{_reason_}": ("us", constant("0")) for _reason_ in _REASONS.split()}
for _counter in (
    "corrected.volatile",
    "corrected.aggregate",
    "uncorrected.volatile",
    "uncorrected.aggregate",
):
    for _place in _ECC_PLACES.split():
        FIELDS[f"ecc.errors.{_counter}.{_place}"] = ("", without_errors if _place in _ECC_COUNTED.split() else None)
FIELDS |= {f"ecc.errors.uncorrected.{_place}": ("", without_errors) for _place in _SRAM.split()}
FIELDS["ecc.errors.uncorrected.aggregate.sram.thresholdExceeded"] = ("", threshold_exceeded)
FIELDS |= {f"fabric.health.{_name}": ("", constant(NOT_AVAILABLE)) for _name in _FABRIC_HEALTH.split()}
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
