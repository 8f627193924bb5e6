"""`nvidia-smi` of a simulated machine: what its NVML says, in the words and frames of the real program.

A program by itself: <machine>/bin/nvidia-smi runs it with `python -I -S`, so it imports little and nothing of
this package. It finds libnvidia-ml.so.1 in the directory GPU_VISIBILITY_LIBRARIES, and like the real one it
ignores CUDA_VISIBLE_DEVICES. It was compared with nvidia-smi 590 and 595 on L40S, H100, H200 and RTX 2080.

Exit codes are the real ones: 0, 2 for an argument, 6 where no device was found, 9 where there is no driver,
and for a GPU that does not answer the code of NVML's error.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

NOT_SUPPORTED, NOT_FOUND, INSUFFICIENT_SIZE, DRIVER_NOT_LOADED, INVALID_ARGUMENT = 3, 6, 7, 9, 2
NOT_AVAILABLE = "N/A"

NO_DRIVER = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. "
    "Make sure that the latest NVIDIA driver is installed and running.\n"
)


class Exit(Exception):
    """Ends the program with a message on stdout, where the real one writes its errors too, and a code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class NvmlError(Exception):
    """A call of NVML failed; `code` is its nvmlReturn_t, str() what nvmlErrorString says of it."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


# ---- NVML ----


_C_TYPES = {
    "u": ctypes.c_uint,
    "i": ctypes.c_int,
    "Q": ctypes.c_ulonglong,
    "q": ctypes.c_longlong,
    "B": ctypes.c_ubyte,
    "B16": ctypes.c_ubyte * 16,
    "c16": ctypes.c_char * 16,
    "c32": ctypes.c_char * 32,
}


def _structure(name: str, fields: str) -> type[ctypes.Structure]:
    """A structure of nvml.h from its fields, each a type of _C_TYPES and a name."""
    pairs = [(words[1], _C_TYPES[words[0]]) for words in map(str.split, fields.split(","))]
    return type(name, (ctypes.Structure,), {"_fields_": pairs})


Memory = _structure("Memory", "u version, Q total, Q reserved, Q free, Q used")
Bar1 = _structure("Bar1", "Q total, Q free, Q used")
_ADDRESS = "u domain, u bus, u device, u device_id, u subsystem_id"
Pci = _structure("Pci", f"c16 legacy_bus_id, {_ADDRESS}, c32 bus_id")
PciExt = _structure("PciExt", f"u version, {_ADDRESS}, u base_class, u sub_class, c32 bus_id")
Utilization = _structure("Utilization", "u gpu, u memory")
Process = _structure("Process", "u pid, Q bytes, u gpu_instance, u compute_instance")
Attributes = _structure(
    "Attributes",
    "u multiprocessors, u copy_engines, u decoders, u encoders, u jpeg, u ofa, u gpu_slices,"
    " u compute_slices, Q memory",
)
Remapping = _structure("Remapping", "u max, u high, u partial, u low, u none")
Margin = _structure("Margin", "u version, i temperature")
AddressingMode = _structure("AddressingMode", "u version, u value")
Platform = _structure("Platform", "u version, B16 guid, B16 chassis, B slot, B tray, B host, B peer, B module")
FieldValue = _structure("FieldValue", "u field, u scope, q timestamp, q latency, u type, u result, Q value")


class Nvml:
    """libnvidia-ml.so.1, initialised. Its methods raise NvmlError."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        library.nvmlErrorString.restype = ctypes.c_char_p
        self.call("nvmlInit_v2")

    def call(self, function: str, *arguments: object) -> None:
        """Calls a function by its name; raises what it returns if that is not success."""
        code = self._library[function](*arguments)
        if code:
            raise NvmlError(code, self.error_text(code))

    def error_text(self, code: int) -> str:
        text: bytes = self._library.nvmlErrorString(code)
        return text.decode()

    def text(self, function: str, *before: object, size: int = 96) -> str:
        """The text that a function(*before, buffer, size) writes."""
        buffer = ctypes.create_string_buffer(size)
        self.call(function, *before, buffer, size)
        return buffer.value.decode(errors="replace")

    def uint(self, function: str, *before: object) -> int:
        """The number that a function(*before, &number) writes."""
        number = ctypes.c_uint()
        self.call(function, *before, ctypes.byref(number))
        return number.value

    def fill(self, kind: type[ctypes.Structure], function: str, *before: object, version: int = 0) -> ctypes.Structure:
        """The structure that a function(*before, &structure) fills."""
        structure = kind()
        if version:
            structure.version = ctypes.sizeof(kind) | version << 24
        self.call(function, *before, ctypes.byref(structure))
        return structure

    def count(self) -> int:
        return self.uint("nvmlDeviceGetCount_v2")

    def driver_version(self) -> str:
        return self.text("nvmlSystemGetDriverVersion")

    def cuda_version(self) -> str:
        version = self.uint("nvmlSystemGetCudaDriverVersion_v2")
        return f"{version // 1000}.{version % 1000 // 10}"

    def process_name(self, pid: int) -> str:
        try:
            return self.text("nvmlSystemGetProcessName", pid, size=4096)
        except NvmlError as error:
            return f"[{error}]"


class Unit:
    """A GPU or a MIG slice, by its handle."""

    def __init__(self, nvml: Nvml, handle: ctypes.c_void_p) -> None:
        self.nvml = nvml
        self.handle = handle

    def text(self, function: str, *middle: object) -> str:
        return self.nvml.text(function, self.handle, *middle)

    def uint(self, function: str, *middle: object) -> int:
        return self.nvml.uint(function, self.handle, *middle)

    def pair(self, function: str) -> tuple[int, int]:
        first, second = ctypes.c_uint(), ctypes.c_uint()
        self.nvml.call(function, self.handle, ctypes.byref(first), ctypes.byref(second))
        return first.value, second.value

    def fill(self, kind: type[ctypes.Structure], function: str, *middle: object, version: int = 0) -> ctypes.Structure:
        return self.nvml.fill(kind, function, self.handle, *middle, version=version)

    def name(self) -> str:
        return self.text("nvmlDeviceGetName")

    def uuid(self) -> str:
        return self.text("nvmlDeviceGetUUID")

    def index(self) -> int:
        return self.uint("nvmlDeviceGetIndex")

    def memory(self) -> ctypes.Structure:
        return self.fill(Memory, "nvmlDeviceGetMemoryInfo_v2", version=2)

    def bar1(self) -> ctypes.Structure:
        return self.fill(Bar1, "nvmlDeviceGetBAR1MemoryInfo")

    def processes(self) -> list[ctypes.Structure]:
        """Every process with a context here, and on a GPU's slices."""
        count, array = ctypes.c_uint(0), None
        while True:
            try:
                self.nvml.call("nvmlDeviceGetComputeRunningProcesses_v3", self.handle, ctypes.byref(count), array)
                return list(array[: count.value]) if array else []
            except NvmlError as error:
                if error.code != INSUFFICIENT_SIZE:
                    raise
            # Others may start before the second call.
            count = ctypes.c_uint(2 * count.value)
            array = (Process * count.value)()


class Gpu(Unit):
    """A physical GPU."""

    def bus_id(self) -> str:
        text: bytes = self.fill(Pci, "nvmlDeviceGetPciInfo_v3").bus_id
        return text.decode()

    def mig_mode(self) -> str:
        return "Enabled" if self.pair("nvmlDeviceGetMigMode")[0] else "Disabled"

    def slices(self) -> Iterator[Unit]:
        for index in range(self.uint("nvmlDeviceGetMaxMigDeviceCount")):
            handle = ctypes.c_void_p()
            try:
                self.nvml.call("nvmlDeviceGetMigDeviceHandleByIndex", self.handle, index, ctypes.byref(handle))
            except NvmlError as error:
                if error.code == NOT_FOUND:
                    return
                raise
            yield Unit(self.nvml, handle)

    def power(self, function: str) -> str:
        return f"{self.uint(function) / 1000:.2f}"

    def power_limits(self) -> tuple[str, str]:
        lowest, highest = self.pair("nvmlDeviceGetPowerManagementLimitConstraints")
        return f"{lowest / 1000:.2f}", f"{highest / 1000:.2f}"

    def field(self, number: int) -> int:
        """A value by its NVML_FI_... number."""
        value = FieldValue(field=number)
        self.nvml.call("nvmlDeviceGetFieldValues", self.handle, 1, ctypes.byref(value))
        if value.result:
            raise NvmlError(value.result, self.nvml.error_text(value.result))
        number_read: int = value.value
        return number_read


def open_nvml() -> Nvml:
    """NVML of the machine; Exit where there is none."""
    directory = os.environ.get("GPU_VISIBILITY_LIBRARIES", "")
    try:
        return Nvml(ctypes.CDLL(os.path.join(directory, "libnvidia-ml.so.1")))
    except (NvmlError, OSError) as error:
        raise Exit(NO_DRIVER, DRIVER_NOT_LOADED) from error


# ---- which GPUs ----


def _snapshot_bus_id(index: int) -> str:
    """The bus id of a GPU that NVML gives no handle for: "0000:07:00.0"."""
    import json

    library = ctypes.CDLL(os.path.join(os.environ["GPU_VISIBILITY_LIBRARIES"], "libgpuvisibility.so"))
    library.gv_snapshot.restype = ctypes.c_long
    library.gv_snapshot.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]
    buffer = ctypes.create_string_buffer(1 << 20)
    length = library.gv_snapshot(os.fsencode(os.environ["GPU_VISIBILITY_MACHINE"]), buffer, len(buffer))
    bus_id: str = json.loads(buffer.raw[:length])["devices"][index]["pci_bus_id"]
    return bus_id[4:]


def _sick(error: NvmlError, gpu: str) -> Exit:
    text = f"{error}.  Reboot the system to recover this GPU" if error.code == 15 else str(error)
    return Exit(f"Unable to determine the device handle for {gpu}: {text}\n", min(error.code, 255))


def gpu_by_index(nvml: Nvml, index: int) -> Gpu:
    handle = ctypes.c_void_p()
    try:
        nvml.call("nvmlDeviceGetHandleByIndex_v2", index, ctypes.byref(handle))
    except NvmlError as error:
        raise _sick(error, f"GPU{index}: {_snapshot_bus_id(index)}") from error
    return Gpu(nvml, handle)


def gpu_by_name(nvml: Nvml, name: str) -> Gpu | None:
    """The GPU of an index, UUID or bus id, as -i takes them; None where there is none."""
    if name.isascii() and name.isdigit():
        return gpu_by_index(nvml, int(name)) if int(name) < nvml.count() else None
    handle = ctypes.c_void_p()
    function = "nvmlDeviceGetHandleByUUID" if name.startswith("GPU-") else "nvmlDeviceGetHandleByPciBusId_v2"
    try:
        nvml.call(function, os.fsencode(name), ctypes.byref(handle))
    except NvmlError as error:
        if error.code in (NOT_FOUND, INVALID_ARGUMENT):
            return None
        raise _sick(error, f"GPU {name}") from error
    return Gpu(nvml, handle)


def select(nvml: Nvml, names: str | None) -> list[Gpu]:
    """The GPUs that -i names, or all of them; Exit where there are none."""
    if names is None:
        gpus: list[Gpu | None] = [gpu_by_index(nvml, index) for index in range(nvml.count())]
    else:
        gpus = [gpu_by_name(nvml, name.strip()) for name in names.split(",")]
    found = [gpu for gpu in gpus if gpu is not None]
    if not found:
        raise Exit("No devices were found\n", NOT_FOUND)
    return found


# ---- how values are written ----


def mebibytes(count: int) -> str:
    return str(count // 2**20)


def enabled(state: int) -> str:
    return "Enabled" if state else "Disabled"


def yes(state: int) -> str:
    return "Yes" if state else "No"


def active(state: int) -> str:
    return "Active" if state else "Not Active"


COMPUTE_MODES = ("Default", "Exclusive_Thread", "Prohibited", "Exclusive_Process")
ARCHITECTURES = {2: "Kepler", 3: "Maxwell", 4: "Pascal", 5: "Volta", 6: "Turing", 7: "Ampere"} | {
    8: "Ada Lovelace",
    9: "Hopper",
    10: "Blackwell",
}
BRANDS = {1: "Quadro", 2: "Tesla", 5: "GeForce", 6: "Titan", 12: "Quadro RTX", 13: "NVIDIA RTX", 14: "NVIDIA"}


def or_not_available(read: Callable[[], str]) -> str:
    """What `read` returns; as the real program has it, "N/A" or the error where NVML has no answer."""
    try:
        return read()
    except NvmlError as error:
        return NOT_AVAILABLE if error.code == NOT_SUPPORTED else str(error)


# ---- --query-gpu ----

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


def _utilization_of(part: str) -> Reader:
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


def _without_errors(gpu: Gpu) -> str:
    """An ECC counter that the GPU has: a simulated one never errs."""
    gpu.pair("nvmlDeviceGetEccMode")
    return "0"


def _threshold_exceeded(gpu: Gpu) -> str:
    return yes(int(_without_errors(gpu)))


def _compute_capability(gpu: Gpu) -> str:
    major, minor = gpu.pair("nvmlDeviceGetCudaComputeCapability")
    return f"{major}.{minor}"


def _memory_temperature(gpu: Gpu) -> str:
    try:
        return str(gpu.field(82))
    except NvmlError:
        return NOT_AVAILABLE  # without the brackets of other fields


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
    "utilization.gpu": ("%", _utilization_of("gpu")),
    "utilization.memory": ("%", _utilization_of("memory")),
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
_ECC_COUNTED = "device_memory dram sram total"
_ECC_NOT_COUNTED = "register_file l1_cache l2_cache texture_memory cbu"
_SRAM = """
volatile.sram.parity volatile.sram.secded aggregate.sram.parity aggregate.sram.secded
aggregate.sram.l2 aggregate.sram.sm aggregate.sram.mcu aggregate.sram.pcie aggregate.sram.other
"""
_FABRIC = """
state status cliqueId clusterUuid health.summary health.bandwidth health.route_recovery_in_progress
health.route_unhealthy health.access_timeout_recovery health.incorrect_configuration health.partition_assigned
"""
_ABSENT = """
vgpu_driver_capability.heterogenous_multivGPU vgpu_device_capability.fractional_multiVgpu
vgpu_device_capability.heterogeneous_timeSlice_profile vgpu_device_capability.heterogeneous_timeSlice_sizes
vgpu_device_capability.homogeneous_placements vgpu_device_capability.mig_timeSlicing
vgpu_device_capability.mig_timeSlicing_mode pcie.link.gen.hostmax driver_model.current driver_model.pending
gom.current gom.pending dramEncryption.mode.current dramEncryption.mode.pending
retired_pages.single_bit_ecc.count retired_pages.double_bit.count retired_pages.pending hostname
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
    FIELDS |= {f"ecc.errors.{_counter}.{_place}": ("", _without_errors) for _place in _ECC_COUNTED.split()}
    FIELDS |= {f"ecc.errors.{_counter}.{_place}": ("", None) for _place in _ECC_NOT_COUNTED.split()}
FIELDS |= {f"ecc.errors.uncorrected.{_place}": ("", _without_errors) for _place in _SRAM.split()}
FIELDS["ecc.errors.uncorrected.aggregate.sram.thresholdExceeded"] = ("", _threshold_exceeded)
FIELDS |= {f"fabric.{_name}": ("", _constant(NOT_AVAILABLE)) for _name in _FABRIC.split()}
FIELDS |= dict.fromkeys(_ABSENT.split(), ("", None))
FIELDS |= dict.fromkeys(_ABSENT_WATTS.split(), ("W", None))
FIELDS |= {"power_smoothing.window_multiplier": ("ms", None), "edpp_multiplier": ("%", None)}

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
clocks.max.mem clocks.max.memory
"""
ALIASES = dict(line.split() for line in _ALIASES.split("\n") if line)
ALIASES |= {name.replace("event", "throttle", 1): name for name in FIELDS if name.startswith("clocks_event_reasons.")}


def csv_value(read: Callable[[], str], unit: str) -> str:
    """A value as a csv cell: with its unit, or why there is none, in brackets."""
    try:
        value = read()
    except NvmlError as error:
        return f"[{NOT_AVAILABLE}]" if error.code == NOT_SUPPORTED else f"[{error}]"
    return f"{value} {unit}" if unit else value


def header(names: Iterable[str], units: Iterable[str]) -> str:
    return ", ".join(f"{name} [{unit}]" if unit else name for name, unit in zip(names, units, strict=True))


def _known(names: str, aliases: dict[str, str], known: Iterable[str]) -> list[str]:
    """The fields of a comma-separated list by their first names; Exit at one that does not exist."""
    fields = []
    for name in names.split(","):
        field = aliases.get(name.strip(), name.strip())
        if field not in known:
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


# ---- -L ----


def profile_of(slice_: Unit) -> str:
    """ "1g.10gb" of a slice's name "NVIDIA A100-SXM4-80GB MIG 1g.10gb"."""
    return slice_.name().rpartition("MIG ")[2]


def list_gpus(gpus: Iterable[Gpu]) -> Iterator[str]:
    for gpu in gpus:
        yield f"GPU {gpu.index()}: {gpu.name()} (UUID: {gpu.uuid()})"
        for slice_ in gpu.slices():
            yield f"  MIG {profile_of(slice_):<11} Device {slice_.index():>2}: (UUID: {slice_.uuid()})"


# ---- the table ----

RULE = "+-----------------------------------------+------------------------+----------------------+"
WIDE_RULE = f"+{'-' * 89}+"
SLICE_RULE = "+------------------+----------------------------------+-----------+-----------------------+"


def summary(nvml: Nvml, gpus: Sequence[Gpu]) -> Iterator[str]:
    """The table that nvidia-smi without arguments prints."""
    version = nvml.driver_version()
    yield time.strftime("%a %b %e %H:%M:%S %Y") + " " * 7
    yield WIDE_RULE
    yield f"| NVIDIA-SMI {version:<22} Driver Version: {version:<14} CUDA Version: {nvml.cuda_version():<8} |"
    yield RULE
    yield "| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |"
    yield "| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |"
    yield "|                                         |                        |               MIG M. |"
    yield RULE.replace("-", "=").replace("+", "|", 1)[:-1] + "|"
    for gpu in gpus:
        yield from _summary_of(gpu)
        yield RULE
    yield ""
    sliced = [gpu for gpu in gpus if or_not_available(gpu.mig_mode) == "Enabled"]
    if sliced:
        yield from _slices(sliced)
    yield from _processes(nvml, gpus)


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def _watts(gpu: Gpu, function: str) -> str:
    return or_not_available(lambda: f"{gpu.uint(function) // 1000}W")


def _summary_of(gpu: Gpu) -> Iterator[str]:
    on = ("Off", "On")
    sliced = or_not_available(gpu.mig_mode)
    errors = "On" if sliced == "Enabled" else or_not_available(lambda: _without_errors(gpu))
    persistence = or_not_available(lambda: on[gpu.uint("nvmlDeviceGetPersistenceMode")])
    display = or_not_available(lambda: on[gpu.uint("nvmlDeviceGetDisplayActive")])
    yield (
        f"| {gpu.index():>3}  {_short(gpu.name(), 27):<27}    {persistence:<3} "
        f"|   {gpu.bus_id()} {display:>3} | {errors:>20} |"
    )
    fan = or_not_available(lambda: f"{gpu.uint('nvmlDeviceGetFanSpeed')}%")
    temperature = or_not_available(lambda: f"{gpu.uint('nvmlDeviceGetTemperature', 0)}C")
    state = or_not_available(lambda: f"P{gpu.uint('nvmlDeviceGetPerformanceState')}")
    usage, cap = _watts(gpu, "nvmlDeviceGetPowerUsage"), _watts(gpu, "nvmlDeviceGetEnforcedPowerLimit")
    memory = gpu.memory()
    used, total = f"{mebibytes(memory.used)}MiB", f"{mebibytes(memory.total)}MiB"
    utilization = or_not_available(lambda: _utilization_of("gpu")(gpu) + "%")
    mode = or_not_available(lambda: COMPUTE_MODES[gpu.uint("nvmlDeviceGetComputeMode")]).replace("Exclusive_", "E. ")
    yield (
        f"| {fan:>3}{temperature:>6}{state:>6}{usage:>16} /{cap:>6} "
        f"|{used:>11} /{total:>10} |{utilization:>8}{mode:>13} |"
    )
    yield f"|{'':41}|{'':24}|{sliced:>21} |"


def _slices(gpus: Iterable[Gpu]) -> Iterator[str]:
    yield WIDE_RULE
    yield f"| {'MIG devices:':<88}|"
    yield SLICE_RULE
    yield "| GPU  GI  CI  MIG |              Shared Memory-Usage |        Vol|        Shared         |"
    yield "|      ID  ID  Dev |                Shared BAR1-Usage | SM     Unc| CE ENC  DEC  OFA  JPG |"
    yield "|                  |                                  |        ECC|                       |"
    yield SLICE_RULE.replace("-", "=").replace("+", "|", 1)[:-1] + "|"
    found = False
    for gpu in gpus:
        for slice_ in gpu.slices():
            found = True
            yield from _slice(gpu, slice_)
    if not found:
        yield f"|  {'No MIG devices found':<87}|"
        yield WIDE_RULE
    yield ""


def _slice(gpu: Gpu, slice_: Unit) -> Iterator[str]:
    ids = slice_.uint("nvmlDeviceGetGpuInstanceId"), slice_.uint("nvmlDeviceGetComputeInstanceId")
    memory, bar1 = slice_.memory(), slice_.bar1()
    shared = slice_.fill(Attributes, "nvmlDeviceGetAttributes_v2")
    yield (
        f"|{gpu.index():>3}{ids[0]:>5}{ids[1]:>4}{slice_.index():>4}  "
        f"|{mebibytes(memory.used) + 'MiB':>19} /{mebibytes(memory.total) + 'MiB':>9}    "
        f"|{shared.multiprocessors:>3}{0:>7} "
        f"|{shared.copy_engines:>3}{shared.encoders:>4}{shared.decoders:>5}{shared.ofa:>5}{shared.jpeg:>5} |"
    )
    used, total = f"{mebibytes(bar1.used)}MiB", f"{mebibytes(bar1.total)}MiB"
    yield f"|{'':18}|{used:>19} /{total:>9}    |{'':11}|{'':23}|"
    yield SLICE_RULE


def instance(number: int) -> str:
    """A GPU or compute instance's id; none is 0xFFFFFFFF."""
    return NOT_AVAILABLE if number == 0xFFFFFFFF else str(number)


def _processes(nvml: Nvml, gpus: Iterable[Gpu]) -> Iterator[str]:
    yield WIDE_RULE
    yield f"| {'Processes:':<88}|"
    yield "|  GPU   GI   CI              PID   Type   Process name                        GPU Memory |"
    yield "|        ID   ID                                                               Usage      |"
    yield f"|{'=' * 89}|"
    found = False
    for gpu in gpus:
        for process in gpu.processes():
            found = True
            gpu_instance, compute_instance = (
                instance(process.gpu_instance),
                instance(process.compute_instance),
            )
            name = nvml.process_name(process.pid)
            if len(name) > 36:
                name = "..." + name[-33:]
            yield (
                f"|{gpu.index():>5}   {gpu_instance:>2}{'' if len(gpu_instance) > 2 else ' '}  "
                f"{compute_instance:>2}{'' if len(compute_instance) > 2 else ' '}{process.pid:>16}      C   "
                f"{name:<36}{mebibytes(process.bytes) + 'MiB':>10} |"
            )
    if not found:
        yield f"|  {'No running processes found':<87}|"
    yield WIDE_RULE


# ---- -q ----

# Lines of a report: how deep, the label, and the value; a heading has none.
Line = tuple[int, str, "str | None"]

# The headings that each word of -d keeps.
DISPLAYS = {
    "MEMORY": ("FB Memory Usage", "BAR1 Memory Usage", "Conf Compute Protected Memory Usage"),
    "UTILIZATION": ("Utilization",),
    "ECC": ("ECC Mode", "ECC Errors"),
    "TEMPERATURE": ("Temperature",),
    "POWER": ("GPU Power Readings",),
    "CLOCK": ("Clocks", "Applications Clocks", "Default Applications Clocks", "Max Clocks"),
    "COMPUTE": ("Compute Mode",),
    "PIDS": ("Processes",),
    "PERFORMANCE": ("Performance State", "Clocks Event Reasons"),
    "ROW_REMAPPER": ("Remapped Rows",),
    "ACCOUNTING": ("Accounting Mode", "Accounting Mode Buffer Size"),
}


def report(nvml: Nvml, gpus: Sequence[Gpu], displays: str | None) -> Iterator[str]:
    """What -q prints, or of it what -d names."""
    keep: set[str] | None = None
    if displays is not None:
        words = displays.upper().split(",")
        unknown = [word for word in words if word not in DISPLAYS]
        if unknown:
            raise Exit(f"Display type {unknown[0]} is not one of {', '.join(DISPLAYS)}.\n", INVALID_ARGUMENT)
        keep = {heading for word in words for heading in DISPLAYS[word]}
    yield ""
    yield "==============NVSMI LOG=============="
    yield ""
    yield f"{'Timestamp':<55}: {time.strftime('%a %b %e %H:%M:%S %Y')}"
    yield f"{'Driver Version':<55}: {nvml.driver_version()}"
    yield f"{'CUDA Version':<55}: {nvml.cuda_version()}"
    yield ""
    yield f"{'Attached GPUs':<55}: {nvml.count()}"
    for gpu in gpus:
        yield f"GPU {gpu.bus_id()}"
        kept = True
        for depth, label, value in _report_of(gpu):
            if depth == 1:
                kept = keep is None or label in keep
            if kept:
                indented = "    " * depth + label
                yield indented if value is None else f"{indented:<55}: {value}"
        yield ""


def _read(gpu: Gpu, field: str) -> str:
    """A field of --query-gpu as -q writes it."""
    unit, reader = FIELDS[field]
    if reader is None:
        return NOT_AVAILABLE
    value = or_not_available(lambda: reader(gpu))
    has_unit = unit and value[:1].isdigit()
    return f"{value} {unit}" if has_unit else value


# Per line, indented as in the report: a heading, or a label and the field of --query-gpu that it shows.
_IDENTITY = """\
Accounting Mode: accounting.mode
Accounting Mode Buffer Size: accounting.buffer_size
Driver Model
    Current: driver_model.current
    Pending: driver_model.pending
Serial Number: serial
GPU UUID: uuid
"""
_STATE = """\
Inforom Version
    Image Version: inforom.img
    OEM Object: inforom.oem
    ECC Object: inforom.ecc
    Power Management Object: inforom.pwr
GPU Operation Mode
    Current: gom.current
    Pending: gom.pending
PCI
    Bus: pci.bus
    Device: pci.device
    Domain: pci.domain
    Base Classcode: pci.baseClass
    Sub Classcode: pci.subClass
    Device Id: pci.device_id
    Bus Id: pci.bus_id
    Sub System Id: pci.sub_device_id
    GPU Link Info
        PCIe Generation
            Max: pcie.link.gen.max
            Current: pcie.link.gen.current
            Device Current: pcie.link.gen.gpucurrent
            Device Max: pcie.link.gen.gpumax
            Host Max: pcie.link.gen.hostmax
Fan Speed: fan.speed
Performance State: pstate
Clocks Event Reasons
    Idle: clocks_event_reasons.gpu_idle
    Applications Clocks Setting: clocks_event_reasons.applications_clocks_setting
    SW Power Cap: clocks_event_reasons.sw_power_cap
    HW Slowdown: clocks_event_reasons.hw_slowdown
        HW Thermal Slowdown: clocks_event_reasons.hw_thermal_slowdown
        HW Power Brake Slowdown: clocks_event_reasons.hw_power_brake_slowdown
    Sync Boost: clocks_event_reasons.sync_boost
    SW Thermal Slowdown: clocks_event_reasons.sw_thermal_slowdown
FB Memory Usage
    Total: memory.total
    Reserved: memory.reserved
    Used: memory.used
    Free: memory.free
"""
_READINGS = """\
Conf Compute Protected Memory Usage
    Total: protected_memory.total
    Used: protected_memory.used
    Free: protected_memory.free
Compute Mode: compute_mode
Utilization
    GPU: utilization.gpu
    Memory: utilization.memory
    Encoder: utilization.encoder
    Decoder: utilization.decoder
    JPEG: utilization.jpeg
    OFA: utilization.ofa
ECC Mode
    Current: ecc.mode.current
    Pending: ecc.mode.pending
ECC Errors
    Volatile
        SRAM Correctable: ecc.errors.corrected.volatile.sram
        SRAM Uncorrectable Parity: ecc.errors.uncorrected.volatile.sram.parity
        SRAM Uncorrectable SEC-DED: ecc.errors.uncorrected.volatile.sram.secded
        DRAM Correctable: ecc.errors.corrected.volatile.dram
        DRAM Uncorrectable: ecc.errors.uncorrected.volatile.dram
Temperature
    GPU T.Limit Temp: temperature.gpu.tlimit
GPU Power Readings
    Average Power Draw: power.draw.average
    Instantaneous Power Draw: power.draw.instant
    Current Power Limit: enforced.power.limit
    Requested Power Limit: power.limit
    Default Power Limit: power.default_limit
    Min Power Limit: power.min_limit
    Max Power Limit: power.max_limit
Clocks
    Graphics: clocks.current.graphics
    SM: clocks.current.sm
    Memory: clocks.current.memory
    Video: clocks.current.video
Applications Clocks
    Graphics: clocks.applications.graphics
    Memory: clocks.applications.memory
Default Applications Clocks
    Graphics: clocks.default_applications.graphics
    Memory: clocks.default_applications.memory
Max Clocks
    Graphics: clocks.max.graphics
    SM: clocks.max.sm
    Memory: clocks.max.memory
"""


def _temperature(gpu: Gpu) -> str:
    return or_not_available(lambda: f"{gpu.uint('nvmlDeviceGetTemperature', 0)} C")


def _lines(gpu: Gpu, template: str) -> Iterator[Line]:
    for line in template.splitlines():
        label, _, field = line.strip().partition(": ")
        depth = 1 + (len(line) - len(line.lstrip())) // 4
        value = _read(gpu, field) if field else None
        yield depth, label, value.replace("_", " ") if value and field == "compute_mode" else value
        if label == "Temperature":  # its first line has a unit that --query-gpu leaves out
            yield depth + 1, "GPU Current Temp", _temperature(gpu)


def _report_of(gpu: Gpu) -> Iterator[Line]:
    yield 1, "Product Name", gpu.name()
    yield 1, "Product Brand", BRANDS.get(gpu.uint("nvmlDeviceGetBrand"), NOT_AVAILABLE)
    yield 1, "Product Architecture", ARCHITECTURES.get(gpu.uint("nvmlDeviceGetArchitecture"), NOT_AVAILABLE)
    for label, field in (
        ("Display Mode", "display_mode"),
        ("Display Attached", "display_attached"),
        ("Display Active", "display_active"),
        ("Persistence Mode", "persistence_mode"),
        ("Addressing Mode", "addressing_mode"),
    ):
        yield 1, label, _read(gpu, field)
    yield 1, "MIG Mode", None
    yield 2, "Current", or_not_available(gpu.mig_mode)
    yield 2, "Pending", or_not_available(gpu.mig_mode)
    for slice_ in gpu.slices():
        yield from _report_of_slice(slice_)
    yield from _lines(gpu, _IDENTITY)
    yield 1, "Minor Number", str(gpu.uint("nvmlDeviceGetMinorNumber"))
    yield 1, "VBIOS Version", _read(gpu, "vbios_version")
    yield 1, "MultiGPU Board", yes(gpu.uint("nvmlDeviceGetMultiGpuBoard"))
    yield 1, "Board ID", f"0x{gpu.uint('nvmlDeviceGetBoardId'):x}"
    yield from _lines(gpu, _STATE)
    yield from _bar1(gpu, 1, "BAR1 Memory Usage")
    yield from _lines(gpu, _READINGS)
    yield from _report_of_processes(gpu)


def _bar1(unit: Unit, depth: int, label: str) -> Iterator[Line]:
    bar1 = unit.bar1()
    yield depth, label, None
    yield depth + 1, "Total", f"{mebibytes(bar1.total)} MiB"
    yield depth + 1, "Used", f"{mebibytes(bar1.used)} MiB"
    yield depth + 1, "Free", f"{mebibytes(bar1.free)} MiB"


def _report_of_slice(slice_: Unit) -> Iterator[Line]:
    yield 1, "MIG Device", None
    yield 2, "Index", str(slice_.index())
    yield 2, "GPU Instance ID", str(slice_.uint("nvmlDeviceGetGpuInstanceId"))
    yield 2, "Compute Instance ID", str(slice_.uint("nvmlDeviceGetComputeInstanceId"))
    shared = slice_.fill(Attributes, "nvmlDeviceGetAttributes_v2")
    yield 2, "Device Attributes", None
    yield 3, "Shared", None
    yield 4, "Multiprocessor count", str(shared.multiprocessors)
    yield 4, "Copy Engine count", str(shared.copy_engines)
    yield 4, "Encoder count", str(shared.encoders)
    yield 4, "Decoder count", str(shared.decoders)
    yield 4, "OFA count", str(shared.ofa)
    yield 4, "JPG count", str(shared.jpeg)
    yield 2, "ECC Errors", None
    yield 3, "Volatile", None
    yield 4, "SRAM Uncorrectable", "0"
    memory = slice_.memory()
    yield 2, "Shared FB Memory Usage", None
    yield 3, "Total", f"{mebibytes(memory.total)} MiB"
    yield 3, "Reserved", f"{mebibytes(memory.reserved)} MiB"
    yield 3, "Used", f"{mebibytes(memory.used)} MiB"
    yield 3, "Free", f"{mebibytes(memory.free)} MiB"
    yield from _bar1(slice_, 2, "Shared BAR1 Memory")


def _report_of_processes(gpu: Gpu) -> Iterator[Line]:
    processes = gpu.processes()
    yield 1, "Processes", None if processes else "None"
    for process in processes:
        yield 2, "GPU instance ID", instance(process.gpu_instance)
        yield 2, "Compute instance ID", instance(process.compute_instance)
        yield 2, "Process ID", str(process.pid)
        yield 3, "Type", "C"
        yield 3, "Name", gpu.nvml.process_name(process.pid)
        yield 3, "Used GPU Memory", f"{mebibytes(process.bytes)} MiB"


# ---- topo -m, nvlink -s ----

LEGEND = """
Legend:

  X    = Self
  SYS  = Connection traversing PCIe as well as the SMP interconnect between NUMA nodes (e.g., QPI/UPI)
  NODE = Connection traversing PCIe as well as the interconnect between PCIe Host Bridges within a NUMA node
  PHB  = Connection traversing PCIe as well as a PCIe Host Bridge (typically the CPU)
  PXB  = Connection traversing multiple PCIe bridges (without traversing the PCIe Host Bridge)
  PIX  = Connection traversing at most a single PCIe bridge
  NV#  = Connection traversing a bonded set of # NVLinks"""

LEVELS = {0: " X ", 10: "PIX", 20: "PXB", 30: "PHB", 40: "NODE", 50: "SYS"}


def _ranges(gpu: Gpu) -> str:
    """The processors near the GPU: "0-19,40-59"."""
    words = (ctypes.c_ulong * 64)()
    gpu.nvml.call("nvmlDeviceGetCpuAffinity", gpu.handle, len(words), words)
    size = 8 * ctypes.sizeof(ctypes.c_ulong)
    near = [bit for bit in range(size * len(words)) if words[bit // size] >> bit % size & 1]
    runs: list[list[int]] = []
    for bit in near:
        if runs and runs[-1][1] == bit - 1:
            runs[-1][1] = bit
        else:
            runs.append([bit, bit])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def topology(gpus: Sequence[Gpu]) -> Iterator[str]:
    columns = [f"GPU{gpu.index()}" for gpu in gpus]
    yield "\t\x1b[4m" + "\t".join([*columns, "CPU Affinity", "NUMA Affinity", "GPU NUMA ID"]) + "\x1b[0m"
    for column, gpu in zip(columns, gpus, strict=True):
        levels = [LEVELS[gpu.uint("nvmlDeviceGetTopologyCommonAncestor", other.handle)] for other in gpus]
        yield "\t".join([column, *levels, _ranges(gpu), "0", "", NOT_AVAILABLE])
    yield LEGEND


def nvlinks(gpus: Iterable[Gpu]) -> Iterator[str]:
    for gpu in gpus:
        yield f"GPU {gpu.index()}: {gpu.name()} (UUID: {gpu.uuid()})"
        if or_not_available(gpu.mig_mode) == "Enabled":
            yield "Nvlink queries are not supported for Devices in MIG mode"
        else:
            yield "Device does not have or support Nvlink"


# ---- the command line ----

HELP = """\
NVIDIA System Management Interface -- v{version} (of a machine simulated by pytest-gpuvisibility)

nvidia-smi [OPTION1 [ARG1]] [OPTION2 [ARG2]] ...

    -h,   --help                Print usage information and exit.
          --version             Print version information and exit.
    -L,   --list-gpus           Display a list of GPUs connected to the system.
    <no arguments>              Show a summary of GPUs connected to the system.
    -q,   --query               Display GPU info.
    -d,   --display=            With -q, display only: {displays}
          --query-gpu=          Information about GPUs; --help-query-gpu lists the fields.
          --query-compute-apps= Compute processes; --help-query-compute-apps lists the fields.
          --format=             With a --query-...: csv[,noheader][,nounits]
    topo -m                     Display how the GPUs are connected.
    nvlink -s                   Display NVLink status.

    [plus any of]

    -i,   --id=                 Target GPUs: a comma-separated list of indices, UUIDs or PCI bus ids.
    -f,   --filename=           Log to a specified file, rather than to stdout.
    -l,   --loop=               Probe until Ctrl+C at specified second interval.
    -lms, --loop-ms=            Probe until Ctrl+C at specified millisecond interval.
"""

LONG_NAMES = {
    "-h": "--help",
    "-L": "--list-gpus",
    "-q": "--query",
    "-d": "--display",
    "-i": "--id",
    "-f": "--filename",
    "-l": "--loop",
    "-lms": "--loop-ms",
    "-m": "--matrix",
    "-s": "--status",
}
WITH_VALUE = {
    "--display",
    "--id",
    "--filename",
    "--loop",
    "--loop-ms",
    "--query-gpu",
    "--query-compute-apps",
    "--format",
}
WITHOUT_VALUE = {
    "--help",
    "--version",
    "--list-gpus",
    "--query",
    "--help-query-gpu",
    "--help-query-compute-apps",
    "--matrix",
    "--status",
}


def parse(arguments: Sequence[str]) -> dict[str, str]:
    """Options by their long names, with their values; "topo" and "nvlink" as the option of that name."""
    options: dict[str, str] = {}
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        name = LONG_NAMES.get(name, name)
        if name in WITH_VALUE:
            options[name] = value if equals else next(rest, "")
        elif name in WITHOUT_VALUE or (argument in ("topo", "nvlink") and not options):
            options[name] = ""
        else:
            raise Exit(
                "Invalid combination of input arguments. Please run 'nvidia-smi -h' for help.\n\n",
                INVALID_ARGUMENT,
            )
    return options


def csv_options(options: dict[str, str]) -> tuple[bool, bool]:
    """Whether --format wants a header, and units; Exit unless it says csv."""
    words = [word.strip() for word in options.get("--format", "").split(",")]
    unknown = [word for word in words if word not in ("csv", "noheader", "nounits")]
    if unknown or "csv" not in words:
        raise Exit(
            "--format= must be csv, and may add noheader and nounits: --format=csv,noheader,nounits.\n\n",
            INVALID_ARGUMENT,
        )
    return "noheader" not in words, "nounits" not in words


def help_on(switch: str, fields: Iterable[str], aliases: dict[str, str]) -> Iterator[str]:
    yield f'List of valid properties to query for the switch "{switch}":'
    for field in fields:
        yield ""
        yield " or ".join(f'"{name}"' for name in [field, *(alias for alias, of in aliases.items() if of == field)])


def versions(nvml: Nvml) -> Iterator[str]:
    driver = nvml.driver_version()
    yield f"NVIDIA-SMI version  : {driver}"
    yield f"NVML version        : {'.'.join(driver.split('.')[:2])}"
    yield f"DRIVER version      : {driver}"
    yield f"CUDA Version        : {nvml.cuda_version()}"


def csv(nvml: Nvml, options: dict[str, str], first: bool) -> Iterator[str]:
    """The table of --query-gpu or --query-compute-apps; `first` as in answer()."""
    with_header, with_units = csv_options(options)
    if "--query-gpu" in options:
        units = {field: unit for field, (unit, _) in FIELDS.items()}
        rows, fields = gpu_rows, _known(options["--query-gpu"], ALIASES, units)
    else:
        units = {field: unit for field, (unit, _) in PROCESS_FIELDS.items()}
        rows, fields = process_rows, _known(options["--query-compute-apps"], PROCESS_ALIASES, units)
    gpus = select(nvml, options.get("--id"))
    if with_header and first:
        yield header(fields, (units[field] for field in fields))
    yield from rows(gpus, fields, with_units)


def answer(nvml: Nvml, options: dict[str, str], first: bool) -> Iterator[str]:
    """The lines that the options ask for. first: not a repetition under --loop, which has no csv header."""
    if "--version" in options:
        yield from versions(nvml)
        return
    if "--query-gpu" in options or "--query-compute-apps" in options:
        yield from csv(nvml, options, first)
        return
    gpus = select(nvml, options.get("--id"))
    if "topo" in options:
        yield from topology(gpus)
    elif "nvlink" in options:
        yield from nvlinks(gpus)
    elif "--list-gpus" in options:
        yield from list_gpus(gpus)
    elif "--query" in options:
        yield from report(nvml, gpus, options.get("--display"))
    else:
        yield from summary(nvml, gpus)


def _interval(options: dict[str, str]) -> float | None:
    """Seconds between repetitions; None: do not repeat."""
    for name, scale in (("--loop", 1.0), ("--loop-ms", 0.001)):
        if name in options:
            if not options[name].isdecimal() or int(options[name]) == 0:
                raise Exit(f"{name}={options[name]} is not a positive whole number.\n\n", INVALID_ARGUMENT)
            return int(options[name]) * scale
    return None


def run(arguments: Sequence[str], output: Callable[[str], object]) -> None:
    """Gives the answer to the command line to `output`; raises Exit instead of an answer."""
    options = parse(arguments)
    if "--help-query-gpu" in options:
        output("\n".join(help_on("--query-gpu", FIELDS, ALIASES)) + "\n")
        return
    if "--help-query-compute-apps" in options:
        output("\n".join(help_on("--query-compute-apps", PROCESS_FIELDS, PROCESS_ALIASES)) + "\n")
        return
    interval = _interval(options)
    nvml = open_nvml()
    if "--help" in options:
        output(HELP.format(version=nvml.driver_version(), displays=", ".join(DISPLAYS)))
        return
    first = True
    while True:
        output("".join(line + "\n" for line in answer(nvml, options, first)))
        if interval is None:
            return
        first = False
        time.sleep(interval)


def main() -> int:
    # As in any C program: a reader that goes away, or Ctrl-C, ends it without a word.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    arguments = sys.argv[1:]
    output = sys.stdout

    def write(text: str) -> None:
        output.write(text)
        output.flush()

    try:
        filename = parse(arguments).get("--filename")
        if filename:
            output = open(filename, "w", encoding="utf-8")  # noqa: SIM115 - as long as the program runs
        run(arguments, write)
    except Exit as error:
        write(str(error))
        return error.code
    except NvmlError as error:
        write(f"{error}\n")  # the GPU was lost while it was being read
        return min(error.code, 255)
    return 0


if __name__ == "__main__":
    sys.exit(main())
