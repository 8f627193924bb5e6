"""An inventory as a TOML file: reading it, and saying what is wrong with it."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from .. import toml
from ..errors import UserError
from . import catalogue
from .devices import COMPUTE_MODES, FAULTS, MACHINE_FAULTS, ComputeMode, Device, InventoryParts, MigDevice

KEYS = ("name", "description", "driver_version", "cuda_version", "faults", "device")
DEVICE_KEYS = (
    "uuid",
    "pci_bus_id",
    "minor",
    "name",
    "memory_mib",
    "compute_capability",
    "multiprocessors",
    "relative_speed",
    "compute_mode",
    "faults",
    "mig_enabled",
    "mig",
)
MIG_KEYS = ("uuid", "gpu_instance", "compute_instance", "profile", "memory_mib", "multiprocessors")

_MIB = 1 << 20
_LONGEST_NAME = 95
"""Bytes of UTF-8 that the simulated driver has room for."""

_HEX = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_EXAMPLE = "5f1ce952-d417-4541-a323-cf2f078b0ef9"
_REQUIRED: Any = object()

Check = tuple[Callable[[Any], bool], str]
"""Whether a value is allowed, and what is allowed in words."""


def read(name_or_path: str | os.PathLike[str]) -> InventoryParts:
    """The shipped inventory of that name, or the one in a TOML file; a shipped name wins over a file of that
    name.

    :raises UserError: there is no such inventory or file, or the file has a mistake in it.
    """
    text = os.fspath(name_or_path)
    shipped = catalogue.file_of(text)
    path = shipped or Path(text)
    try:
        data = toml.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(_unknown(text)) from None
    except (OSError, ValueError) as error:  # ValueError: not TOML, not UTF-8, or a NUL in the path
        raise UserError(f"{text!r} cannot be read as an inventory: {error}. It must be a TOML file.") from None
    return _inventory(_Table(data, text, "the file"), "shipped" if shipped else text)


def _unknown(text: str) -> str:
    names = catalogue.names()
    close = difflib.get_close_matches(text, names, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return f"There is no inventory and no file {text!r}.{hint} Give a TOML file, or one of: {', '.join(names)}."


def _text(pattern: str, allowed: str) -> Check:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None, allowed


def _whole(low: int, high: int) -> Check:
    return (
        lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high,
        f"a whole number from {low} to {high}",
    )


def _list_of(known: tuple[str, ...]) -> Check:
    return (
        lambda value: isinstance(value, list) and all(item in known for item in value),
        "a list of any of " + ", ".join(f'"{item}"' for item in known),
    )


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and 0 < len(value.encode()) <= _LONGEST_NAME


def _is_speed(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


_NAME: Check = (_is_name, f"printable text of at most {_LONGEST_NAME} bytes")
_TEXT: Check = (lambda value: isinstance(value, str), "text")
_FLAG: Check = (lambda value: isinstance(value, bool), "true or false")
_SPEED: Check = (_is_speed, "a number above 0")
_MEMORY = _whole(1, 1 << 30)
_VERSION = _text(r"[0-9]{1,5}(\.[0-9]{1,5}){0,3}", 'text such as "580.95.05"')
_CUDA_VERSION = _text(r"[0-9]{1,3}\.[0-9]", 'text such as "13.0"')
_CAPABILITY = _text(r"[0-9]{1,3}\.[0-9]", 'text such as "8.0"')
_BUS_ID = _text(r"[0-9A-Fa-f]{8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-7]", 'text such as "00000000:07:00.0"')
_GPU_UUID = _text(f"GPU-{_HEX}", f'lower-case text such as "GPU-{_EXAMPLE}"')
_MIG_UUID = _text(
    f"MIG-{_HEX}|MIG-GPU-{_HEX}/[0-9]{{1,3}}/[0-9]{{1,3}}",
    f'lower-case text such as "MIG-{_EXAMPLE}", or before driver R470 "MIG-GPU-{_EXAMPLE}/1/0"',
)
_PROFILE = _text(r"([0-9]c\.)?[0-9]g\.[0-9]{1,4}gb(\+[a-z.]{1,12})*", 'text such as "3g.40gb"')
_COMPUTE_MODE: Check = (
    lambda value: value in COMPUTE_MODES,
    " or ".join(f'"{mode}"' for mode in COMPUTE_MODES),
)
_FAULTS = _list_of(FAULTS)
_MACHINE_FAULTS = _list_of(MACHINE_FAULTS)
_TABLES: Check = (
    lambda value: isinstance(value, list) and all(isinstance(item, dict) for item in value),
    "a list of tables",
)


@dataclass(frozen=True)
class _Table:
    """One table of the file, and the words for where it stands."""

    data: Mapping[str, Any]
    file: str
    where: str

    def only(self, keys: Iterable[str]) -> None:
        allowed = list(keys)
        for key in self.data:
            if key not in allowed:
                close = difflib.get_close_matches(key, allowed, n=1)
                hint = f" Did you mean {close[0]}?" if close else ""
                raise UserError(
                    f"{self.file}: {self.where} has an unknown key {key!r}.{hint} Known: {', '.join(allowed)}."
                )

    def get(self, key: str, check: Check, default: Any = _REQUIRED) -> Any:
        is_allowed, allowed = check
        value = self.data.get(key, default)
        if value is _REQUIRED:
            raise UserError(f"{self.file}: {self.where} lacks the key {key!r}. Add it: {allowed}.")
        if key in self.data and not is_allowed(value):
            raise UserError(f"{self.file}: {self.where} has {key} = {value!r}. It must be {allowed}.")
        return value

    def tables(self, key: str, what: str) -> list[_Table]:
        found = self.get(key, _TABLES, [])
        return [_Table(data, self.file, f"{what} {number}") for number, data in enumerate(found)]


def _inventory(table: _Table, origin: str) -> InventoryParts:
    table.only(KEYS)
    return InventoryParts(
        name=table.get("name", _NAME),
        devices=tuple(_device(item, index) for index, item in enumerate(table.tables("device", "device"))),
        driver_version=table.get("driver_version", _VERSION, "580.95.05"),
        cuda_version=table.get("cuda_version", _CUDA_VERSION, "13.0"),
        origin=origin,
        description=table.get("description", _TEXT, ""),
        faults=frozenset(table.get("faults", _MACHINE_FAULTS, [])),
    )


def _device(table: _Table, index: int) -> Device:
    table.only(DEVICE_KEYS)
    uuid, name = table.get("uuid", _GPU_UUID), table.get("name", _NAME)
    slices = table.tables("mig", f"{table.where}, MIG slice")
    enabled = table.get("mig_enabled", _FLAG, bool(slices))
    if slices and not enabled:
        raise UserError(
            f"{table.file}: {table.where} has MIG slices but mig_enabled = false. Slices exist only in MIG"
            " mode: remove them, or set mig_enabled = true."
        )
    major, minor = table.get("compute_capability", _CAPABILITY).split(".")
    mig = tuple(_slice(item, index, uuid, name) for item in slices)
    _check_instances(table, mig)
    return Device(
        index=index,
        uuid=uuid,
        pci_bus_id=table.get("pci_bus_id", _BUS_ID),
        minor=table.get("minor", _whole(0, 255), index),
        name=name,
        memory=table.get("memory_mib", _MEMORY) * _MIB,
        compute_capability=(int(major), int(minor)),
        multiprocessors=table.get("multiprocessors", _whole(1, 10_000)),
        relative_speed=float(table.get("relative_speed", _SPEED, 1.0)),
        compute_mode=cast(ComputeMode, table.get("compute_mode", _COMPUTE_MODE, "default")),
        faults=frozenset(table.get("faults", _FAULTS, [])),
        mig=mig,
        mig_enabled=enabled,
    )


def _slice(table: _Table, index: int, parent_uuid: str, parent_name: str) -> MigDevice:
    table.only(MIG_KEYS)
    profile = table.get("profile", _PROFILE)
    return MigDevice(
        uuid=table.get("uuid", _MIG_UUID),
        gpu_instance=table.get("gpu_instance", _whole(0, 127)),
        compute_instance=table.get("compute_instance", _whole(0, 127)),
        profile=profile,
        name=f"{parent_name} MIG {profile}",
        memory=table.get("memory_mib", _MEMORY) * _MIB,
        multiprocessors=table.get("multiprocessors", _whole(1, 10_000)),
        parent_index=index,
        parent_uuid=parent_uuid,
    )


def _check_instances(table: _Table, mig: Iterable[MigDevice]) -> None:
    seen: set[tuple[int, int]] = set()
    for unit in mig:
        instance = unit.gpu_instance, unit.compute_instance
        if instance in seen:
            raise UserError(
                f"{table.file}: {table.where} has two MIG slices with gpu_instance = {instance[0]} and"
                f" compute_instance = {instance[1]}. Each slice is another compute instance; change one of"
                " the numbers."
            )
        seen.add(instance)
