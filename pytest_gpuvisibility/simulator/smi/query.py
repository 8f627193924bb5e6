"""--query-gpu and --query-compute-apps: fields of GPUs and of processes as csv."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator, Sequence

from .fields import FIELDS
from .nvml import INVALID_ARGUMENT, NOT_SUPPORTED, Exit, Gpu, NvmlError
from .readers import timestamp
from .wording import NOT_AVAILABLE, mebibytes


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
