"""Processes by devices of one launch, as a table: permitted, touched, out of bounds, in words and signs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .document import DeviceEntry, LaunchEntry, ProcessEntry
from .html_tree import Element, node

ROLES = ("launcher", "worker", "balancer", "other")
ROWS = 40
"""More processes than these are counted, not shown; those that used a device come first."""
COLUMN = 4.7
"""Width of a device's column, in rem: below it the table scrolls."""


@dataclass(frozen=True)
class Unit:
    """A column: a GPU or a MIG slice."""

    uuid: str
    label: str
    name: str = ""


@dataclass(frozen=True)
class Mark:
    """What a process has to do with a device."""

    sign: str
    word: str
    style: str


def units(devices: Sequence[DeviceEntry], mentioned: Iterable[str]) -> list[Unit]:
    """The columns of a machine: its GPUs, the slices of those in MIG mode, and UUIDs that it does not know."""
    found: list[Unit] = []
    wanted = list(dict.fromkeys(mentioned))
    several = len({device["name"] for device in devices}) > 1
    for device in devices:
        if not device["mig"] or device["uuid"] in wanted:
            name = str(device["name"]) if several else ""
            found.append(Unit(device["uuid"], f"GPU {device['index']}", name.removeprefix("NVIDIA ")))
        found += [
            Unit(part["uuid"], f"GPU {device['index']}", f"slice {part['gpu_instance']}/{part['compute_instance']}")
            for part in device["mig"]
        ]
    known = {unit.uuid for unit in found}
    return found + [Unit(uuid, "unknown", f"{uuid[:12]}…") for uuid in wanted if uuid not in known]


def device_table(launch: LaunchEntry, devices: Sequence[DeviceEntry]) -> Element:
    """The table of one launch, with a caption that says the essence."""
    processes = sorted(launch["processes"], key=_place)
    permitted = set(launch["permitted"])
    mentioned = [*launch["permitted"], *(uuid for process in processes for uuid in _mentioned(process))]
    columns = units(devices, mentioned)
    if not columns:
        return node("p", f"The machine has no GPU. Processes of the server that were seen: {len(processes)}.")
    bound = _group_size(launch)
    marks = {id(process): _marks(process, permitted, bound) for process in processes}
    telling = [process for process in processes if process["role"] != "other" or _tells(marks[id(process)])][:ROWS]
    rest = len(processes) - len(telling)
    titles = [node("th", "Process", scope="col", class_="who"), *map(_heading, columns), _evidence_heading()]
    table = node(
        "table",
        node("thead", node("tr", titles)),
        node(
            "tbody",
            node(
                "tr",
                node("th", "the launch may use", scope="row"),
                (_cell(_permission(unit, permitted)) for unit in columns),
                node("td", "", class_="evidence"),
                class_="permitted",
            ),
            (_row(process, marks[id(process)], columns) for process in telling),
        ),
        class_="picture devices",
        style=f"min-width:{16 + COLUMN * len(columns)}rem",
    )
    more = f"and {rest} more of the server's processes, which used no device" if rest else None
    frame = node("div", table, class_="scroll", role="region", aria_label="Processes and devices", tabindex="0")
    caption = node("figcaption", _essence(processes, marks, columns))
    return node("figure", caption, frame, node("p", more) if more else None)


def _group_size(launch: LaunchEntry) -> int:
    size = launch["settings"].get("devices", 1)
    return max(int(size), 0) if isinstance(size, int) else 0


def _place(process: ProcessEntry) -> tuple[int, int, int]:
    role = ROLES.index(process["role"]) if process["role"] in ROLES else len(ROLES)
    return role, -1 if process["group"] is None else process["group"], process["pid"]


def _mentioned(process: ProcessEntry) -> list[str]:
    return [*process["touched"], *(process["shown"] or ())]


def _marks(process: ProcessEntry, permitted: set[str], bound: int) -> dict[str, Mark]:
    """By UUID. A worker that opened nothing is bound to what it is shown, unless that is more than its group has."""
    shown = process["shown"] or ()
    binds = process["role"] == "worker" and not process["touched"] and 0 < len(shown) <= bound
    marks = {}
    for uuid in shown:
        if binds:
            marks[uuid] = Mark("○", "would use", "use") if uuid in permitted else Mark("✕", "would use", "out")
        else:
            marks[uuid] = Mark("·", "sees", "sees") if uuid in permitted else Mark("!", "sees", "wide")
    for uuid in process["touched"]:
        marks[uuid] = Mark("●", "touched", "use") if uuid in permitted else Mark("✕", "touched", "out")
    return marks


def _tells(marks: Mapping[str, Mark]) -> bool:
    return any(mark.style != "sees" for mark in marks.values())


def _essence(
    processes: Sequence[ProcessEntry], marks: Mapping[int, Mapping[str, Mark]], columns: Sequence[Unit]
) -> str:
    names = {
        unit.uuid: f"{unit.label} {unit.name}".strip() if unit.label == "unknown" else unit.label for unit in columns
    }
    guilty = [
        f"{_title(process)} {verb} {', '.join(names[uuid] for uuid in out)}"
        for process in processes
        for verb in ("touched", "would use")
        if (out := [uuid for uuid, mark in marks[id(process)].items() if mark.style == "out" and mark.word == verb])
    ]
    if guilty:
        return f"Out of bounds: {'; '.join(guilty)}."
    if not any(mark.style == "use" for found in marks.values() for mark in found.values()):
        return "No process used a device."
    return "Every process kept to the devices that it may use."


def _title(process: ProcessEntry) -> str:
    return f"{process['role']}{'' if process['group'] is None else ' ' + str(process['group'])}"


def _heading(unit: Unit) -> Element:
    return node("th", unit.label, node("small", unit.name) if unit.name else None, scope="col", title=unit.uuid)


def _evidence_heading() -> Element:
    return node("th", "Evidence", scope="col", class_="evidence")


def _permission(unit: Unit, permitted: set[str]) -> Mark:
    return Mark("✓", "permitted", "yes") if unit.uuid in permitted else Mark("-", "no", "no")


def _row(process: ProcessEntry, marks: Mapping[str, Mark], columns: Sequence[Unit]) -> Element:
    mask = process["cuda_visible_devices"]
    details = (str(process["pid"]), "no mask" if mask is None else f"mask {mask or 'empty'}")
    return node(
        "tr",
        node(
            "th",
            _title(process),
            (node("small", detail) for detail in details),
            scope="row",
            title=" ".join(process["argv"]) or None,
        ),
        (_cell(marks.get(unit.uuid)) for unit in columns),
        node("td", process["evidence"], class_="evidence"),
    )


def _cell(mark: Mark | None) -> Element:
    if mark is None:
        return node("td", "")
    outside = node("small", "out of bounds") if mark.style in ("out", "wide") else None
    sign = node("b", mark.sign, aria_hidden="true")
    return node("td", sign, " ", node("small", mark.word), " ", outside, class_=mark.style)
