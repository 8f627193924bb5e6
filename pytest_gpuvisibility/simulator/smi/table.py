"""The table that the program prints without arguments, and the list of -L."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from .nvml import Attributes, Gpu, Nvml, Unit
from .readers import utilization_of, without_errors
from .wording import COMPUTE_MODES, instance, mebibytes, or_not_available


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
    errors = "On" if sliced == "Enabled" else or_not_available(lambda: without_errors(gpu))
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
    utilization = or_not_available(lambda: utilization_of("gpu")(gpu) + "%")
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
