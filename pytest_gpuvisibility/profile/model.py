"""What a profile can say, as a whole: what its tables mean for one launch."""

from __future__ import annotations

import dataclasses
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from ..errors import UserError
from .tables import Option, Product, Reports, Server, Supports, Unsupported, Workers

Division: TypeAlias = Literal["groups", "devices", "visible"]
"""``groups``: the command asks for so many groups of workers. ``devices``: for one group, of so many devices.
``visible``: for neither, and one process uses every device that it is shown.
"""


@dataclass(frozen=True, slots=True)
class Profile:
    """A whole profile. ``path``: the file that it was read from."""

    path: Path
    product: Product
    server: Server
    workers: Workers
    supports: Supports
    unsupported: tuple[Unsupported, ...]
    reports: Reports = field(default_factory=Reports)

    def with_scratch(self, directory: Path) -> Profile:
        """The same profile with ``{scratch}`` standing for ``directory``, and its values' own placeholders filled."""
        known = {**self._own_values(), "scratch": str(directory)}
        values = {name: fill(value, known) for name, value in self.server.values.items()}
        values["scratch"] = str(directory)
        return dataclasses.replace(self, server=dataclasses.replace(self.server, values=values))

    def _own_values(self) -> dict[str, str]:
        return {"python": sys.executable, "here": str(self.path.parent)}

    def values(self, *, groups: int, devices: int, port: int) -> dict[str, str]:
        """What the placeholders of this profile stand for in one launch."""
        return {
            **self.server.values,
            "groups": str(groups),
            "devices": str(devices),
            "port": str(port),
            "host": self.server.host,
            **self._own_values(),
        }

    @property
    def has_layout(self) -> bool:
        """Whether one argument holds both ``{groups}`` and ``{devices}``, so that a malformed layout can be
        written.
        """
        return any(_LAYOUT.search(word) for word in self.server.command)

    def command_line(
        self,
        groups: int,
        devices: int,
        port: int,
        layout: str | None = None,
        options: Iterable[Option] = (),
    ) -> list[str]:
        """The command to launch. ``layout`` replaces what stands from ``{groups}`` to ``{devices}``.

        :raises UserError: ``layout`` is given and no argument holds both placeholders.
        :raises KeyError: the profile has not one of ``options``.
        """
        words = list(self.server.command)
        added = [fill(word, dict(option.values)) for option in options for word in self.server.options[option.name]]
        place = words.index(OPTIONS_WORD) if OPTIONS_WORD in words else len(words)
        words[place : place + 1] = added
        if layout is not None:
            if not self.has_layout:
                raise UserError(
                    f"The layout {layout!r} cannot be given to {self.product.name}: no argument of"
                    f" [server].command in {self.path} holds both {{groups}} and {{devices}}."
                )
            words = [_LAYOUT.sub(lambda _: layout, word) for word in words]
        values = self.values(groups=groups, devices=devices, port=port)
        return [fill(word, values) for word in words]

    def port_count(self, groups: int, devices: int) -> int:
        """How many consecutive ports a launch uses; at least one."""
        return max(1, amount(self.server.ports, groups, devices))

    @property
    def sizes_groups(self) -> bool:
        """Whether it says how many devices each group gets: ``{devices}`` stands in its command or environment."""
        return self._says("devices")

    @property
    def division(self) -> Division:
        """Who decides how many workers there are, and on how many devices: see :data:`Division`."""
        return "groups" if self._says("groups") else "devices" if self._says("devices") else "visible"

    def _says(self, placeholder: str) -> bool:
        return any(f"{{{placeholder}}}" in text for text in (*self.server.command, *self.server.env.values()))

    @property
    def has_worker_ports(self) -> bool:
        """Whether anything in the profile speaks of ports that workers have for themselves."""
        ready, told = self.server.ready, self.workers.worker
        if told.captures("port") or told.port or (ready.kind == "tcp" and not ready.url):
            return True
        return any("{worker_port}" in text for text in _texts(dataclasses.astuple(self)))

    def worker_port(self, group: int, port: int) -> int:
        return port + self.workers.first_port + group


def amount(text: str, groups: int, devices: int) -> int:
    """The value of a sum or product of ``groups``, ``devices`` and numbers."""
    known = {"groups": max(groups, 0), "devices": max(devices, 0)}
    terms = text.replace(" ", "").split("+")
    factors = ([known[name] if name in known else int(name) for name in term.split("*")] for term in terms)
    return sum(map(math.prod, factors))


OPTIONS_WORD = "{options}"
_LAYOUT = re.compile(r"\{groups\}.*\{devices\}", re.DOTALL)
PLACEHOLDER = re.compile(r"\{(\w+)\}")


def fill(text: str, values: Mapping[str, str]) -> str:
    """Replace the ``{name}`` that are in ``values``; other braces stay as they are."""
    return PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)


def _texts(value: object) -> Iterator[str]:
    """Every text in a value made of lists and tables."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts(tuple(value.values()))
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _texts(part)
