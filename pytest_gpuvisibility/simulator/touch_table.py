"""Who touched what, as ``gpu-visibility run`` tells it: a line for each kind of process."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..environment import printable, quoted_mask
from ..inventory import AnyDevice, Inventory, MigDevice, label
from .ledger import LedgerRecord, by_process

OUT_OF_BOUNDS = "OUT OF BOUNDS"
LONGEST_TABLE = 30
"""Lines; what is out of bounds comes first."""
PRIVATE_TABLES = (
    "contains the CUDA runtime, linked statically, or another library of NVIDIA's, which asks the driver for tables"
    " private to NVIDIA: it cannot be simulated"
)
CUBLAS_CAN_BE_SKIPPED = "if that library is cuBLAS: with --launch noop its products are skipped instead"


@dataclass(frozen=True)
class _Line:
    """What processes have in common that need one line together. ``beyond``: what they touched out of bounds."""

    name: str
    mask: str
    touched: tuple[str, ...]
    beyond: tuple[str, ...]
    asks_for_private_tables: bool


class TouchTable:
    """Each process of a ledger that initialised the driver: its mask, and the devices that it touched."""

    def __init__(self, records: Sequence[LedgerRecord], inventory: Inventory, permitted: Collection[AnyDevice]) -> None:
        self._inventory = inventory
        self._pids: dict[_Line, list[int]] = {}
        allowed = {unit.uuid for unit in permitted}
        names = {
            unit.uuid: (
                label(unit),
                unit.uuid in allowed or (isinstance(unit, MigDevice) and unit.parent_uuid in allowed),
            )
            for unit in inventory.units
        }
        for (pid, _), found in by_process(record for record in records if record.event != "question").items():
            self._pids.setdefault(_line(found, names), []).append(pid)

    @property
    def out_of_bounds(self) -> bool:
        """Whether a process touched a device that is not permitted."""
        return any(line.beyond for line in self._pids)

    def lines(self, kernel_launches: str) -> list[str]:
        """:param kernel_launches: what they did, ``error`` or ``noop``."""
        if not self._pids:
            return [f"gpu-visibility: no process initialised CUDA on {self._inventory.name}"]
        ordered = sorted(self._pids.items(), key=lambda item: not item[1] or not item[0].beyond)
        told = [f"gpu-visibility: who touched what on {self._inventory.name} (simulated)"]
        for line, pids in ordered[:LONGEST_TABLE]:
            who = str(pids[0]) if len(pids) == 1 else f"{len(pids)} times"
            touched = ", ".join((*line.touched, *(f"{name} {OUT_OF_BOUNDS}" for name in line.beyond))) or "nothing"
            told.append(f"  {who:>8}  {line.name:<16} CUDA_VISIBLE_DEVICES {line.mask:<12} touched {touched}")
            if line.asks_for_private_tables:
                told.append(f"            {PRIVATE_TABLES}")
                if kernel_launches == "error":
                    told.append(f"            {CUBLAS_CAN_BE_SKIPPED}")
        if left := sum(len(pids) for _, pids in ordered[LONGEST_TABLE:]):
            told.append(f"  and {left} more processes; --audit FILE keeps what each of them did")
        return told


def _line(found: Sequence[LedgerRecord], names: dict[str, tuple[str, bool]]) -> _Line:
    touched = dict.fromkeys(record.touched for record in found if record.touched)
    known = [names.get(uuid, (uuid, False)) for uuid in touched]
    return _Line(
        printable(Path(found[0].argv0).name),
        quoted_mask(found[0].cuda_visible_devices),
        tuple(name for name, permitted in known if permitted),
        tuple(name for name, permitted in known if not permitted),
        any(record.event == "refused" and record.function == "cuGetExportTable" for record in found),
    )
