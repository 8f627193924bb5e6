"""NVML of a simulated machine, through ctypes: what the rest of this program reads."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator

NOT_SUPPORTED, NOT_FOUND, INSUFFICIENT_SIZE, DRIVER_NOT_LOADED, INVALID_ARGUMENT = 3, 6, 7, 9, 2
LIBRARY_NOT_FOUND, GPU_IS_LOST = 12, 15


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


NO_DRIVER = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. "
    "Make sure that the latest NVIDIA driver is installed and running.\n"
)

NO_NVML = (
    "NVIDIA-SMI couldn't find libnvidia-ml.so library in your system. "
    "Please make sure that the NVIDIA Display Driver is properly installed and present in your system.\n"
    "Please also try adding directory that contains libnvidia-ml.so to your system PATH.\n"
)

SIGNED_INT = 5  # NVML_VALUE_TYPE_SIGNED_INT

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
Pdi = _structure("Pdi", "u version, Q value")
Repair = _structure("Repair", "u version, u channel, u tpc")
Unrepairable = _structure("Unrepairable", "u value")
Fabric = _structure("Fabric", "u version, B16 cluster, u status, u clique, u state, u health, B summary")


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

    def branch(self) -> int:
        """580 of "580.95.05"."""
        return int(self.driver_version().partition(".")[0])

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
    """A physical GPU; `only`: the one slice of it that is shown, instead of all."""

    def __init__(self, nvml: Nvml, handle: ctypes.c_void_p, only: Unit | None = None) -> None:
        super().__init__(nvml, handle)
        self._only = only

    def processes(self) -> list[ctypes.Structure]:
        return super().processes() if self._only is None else self._only.processes()

    def bus_id(self) -> str:
        text: bytes = self.fill(Pci, "nvmlDeviceGetPciInfo_v3").bus_id
        return text.decode()

    def mig_mode(self) -> str:
        return "Enabled" if self.pair("nvmlDeviceGetMigMode")[0] else "Disabled"

    def slices(self) -> Iterator[Unit]:
        if self._only is not None:
            yield self._only
            return
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

    def field(self, number: int, scope: int = 0) -> int:
        """A value by its NVML_FI_... number."""
        value = FieldValue(field=number, scope=scope)
        self.nvml.call("nvmlDeviceGetFieldValues", self.handle, 1, ctypes.byref(value))
        if value.result:
            raise NvmlError(value.result, self.nvml.error_text(value.result))
        number_read: int = value.value
        signed = value.type == SIGNED_INT and number_read >= 1 << 31
        return number_read - (1 << 32) if signed else number_read

    def numbers(self, function: str, *before: object) -> list[int]:
        """The array of numbers that a function(handle, *before, &count, array) fills."""
        count = ctypes.c_uint(0)
        try:
            self.nvml.call(function, self.handle, *before, ctypes.byref(count), None)
        except NvmlError as error:
            if error.code != INSUFFICIENT_SIZE:
                raise
        array = (ctypes.c_uint * max(count.value, 1))()
        if count.value:
            self.nvml.call(function, self.handle, *before, ctypes.byref(count), array)
        return list(array[: count.value])


def open_nvml() -> Nvml:
    """NVML of the machine; Exit where it does not answer."""
    directory = os.environ.get("GPU_VISIBILITY_LIBRARIES", "")
    try:
        return Nvml(ctypes.CDLL(os.path.join(directory, "libnvidia-ml.so.1")))
    except OSError as error:
        raise Exit(NO_NVML, LIBRARY_NOT_FOUND) from error
    except NvmlError as error:
        messages = {DRIVER_NOT_LOADED: NO_DRIVER, LIBRARY_NOT_FOUND: NO_NVML}
        raise Exit(messages.get(error.code, f"Failed to initialize NVML: {error}\n"), error.code) from error
