"""What a session can put on trial. A trial, its hooks and its reports know no more of it than this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from ..errors import UserError
from ..inventory import Inventory
from ..profile import Unsupported
from ..records import LaunchRecord, MaskAnswer

Family = Literal["server", "driver"]
"""Which rules apply: those for servers, or those for the CUDA driver itself."""


@dataclass(frozen=True)
class Preparation:
    """What is done once before the first launch: a command, and the directory that it and the launches use."""

    command: tuple[str, ...] = ()
    directory: Path = Path()


class NotDescribed(UserError):
    """The profile does not describe what the first launch showed: there is nothing to judge by."""


class Subject(Protocol):
    """A server, or the CUDA driver itself."""

    @property
    def family(self) -> Family: ...

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def url(self) -> str: ...

    @property
    def source(self) -> str:
        """What the user gave for --gpu-server."""

    @property
    def unsupported(self) -> Sequence[Unsupported]:
        """What it declares not to do."""

    @property
    def inventory(self) -> str:
        """The name of the machine that it is judged on."""

    @property
    def inventory_is_chosen(self) -> bool:
        """The user gave --gpu-inventory."""

    @property
    def simulated(self) -> bool: ...

    def machine(self, name: str) -> Inventory:
        """The machine that a launch or an answer names as its inventory."""

    @property
    def hardware(self) -> Inventory | None:
        """The one machine of the whole trial; None where rules choose machines of their own."""

    @property
    def first_step(self) -> str:
        """What :meth:`control` is about to do, in words."""

    def control(self) -> str:
        """Try it once without a mask; what came of it, in words.

        :raises NotDescribed: nothing can be judged.
        """

    @property
    def preparation(self) -> Preparation:
        """For repeating a launch by hand."""

    def launches(self) -> Mapping[str, LaunchRecord]:
        """Every launch so far, by its key."""

    def answers(self) -> Mapping[str, MaskAnswer]:
        """Every answer of a driver so far, by its question's key."""
