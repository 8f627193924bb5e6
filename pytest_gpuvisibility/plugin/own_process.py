"""What CUDA in pytest's own process shows, and whether it is what a test was given.

A process asks CUDA once what there is. So the second test in it may find the GPUs of the first, whatever its fixtures
and the environment say. Here that is found out before the test's body runs; who brought it about is remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from ..errors import UserError
from ..inventory import AnyDevice, Inventory, uuid_digits
from ..simulator import Binding, Machine, cuda_binding, follow_cuda

OWN_PROCESS = pytest.StashKey["OwnProcess"]()
WAY_OUT = (
    "A process keeps the GPUs that CUDA showed it first. Give the test a process of its own,"
    " @pytest.mark.gpu_isolated or --gpu-isolate, or run the code in a child: gpu_machine.run, gpu_machine.call,"
    " subprocess."
)


class WrongGpus(UserError):
    """CUDA shows this process other GPUs than a test was given, and cannot show others any more."""


@dataclass
class OwnProcess:
    """``initialised_by``: the test, or the file, in which CUDA was initialised, where that was noticed."""

    initialised_by: str | None = None
    _refused: dict[tuple[str, ...], str] = field(default_factory=dict)
    _known: dict[str, str] = field(default_factory=dict)
    """The digits of the UUIDs of all devices that tests were given -> what messages call them."""

    def look(self, doing: str) -> None:
        """Remember what has just been done, if CUDA was initialised by that."""
        if cuda_binding() is None:
            self.initialised_by = None
        elif self.initialised_by is None:
            self.initialised_by = doing

    def follow(self, devices: Sequence[AnyDevice], inventory: Inventory, kind: str, who: str) -> None:
        """Let CUDA in this process show exactly these devices, where it is initialised already.

        :param who: is given them, for the message.
        :raises WrongGpus: it cannot.
        """
        self.know(inventory)
        in_the_way = follow_cuda([device.uuid for device in devices], to_real=kind == "real")
        if in_the_way is None:
            self.look(who)
        else:
            raise WrongGpus(self._refusal(in_the_way, devices, who))

    def know(self, inventory: Inventory) -> None:
        """Remember what messages call these devices."""
        self._known.update(
            {uuid_digits(unit.uuid): f"{repr(unit)[1:-1]} of {inventory.name}" for unit in inventory.units}
        )

    def is_elsewhere(self, devices: Sequence[AnyDevice], kind: str) -> bool:
        """Whether CUDA in this process keeps to other devices than these; it shows these from now on where it can."""
        return follow_cuda([device.uuid for device in devices], to_real=kind == "real") is not None

    def check_is_on(self, machine: Machine) -> None:
        """What this process does with CUDA is to be in the ledger of that machine.

        :raises WrongGpus: it keeps contexts or memory on another one, which has the same GPUs.
        """
        bound = cuda_binding()
        if bound is not None and bound.holds and not bound.is_on(machine.directory):
            raise WrongGpus(
                f"CUDA in this process is on another machine with the same GPUs, where {self._culprit} initialised it:"
                f" what the test itself touches is not in the ledger of gpu_machine.\n{WAY_OUT}"
            )

    @property
    def _culprit(self) -> str:
        return self.initialised_by or "a test or a file before it"

    def _refusal(self, bound: Binding, devices: Sequence[AnyDevice], who: str) -> str:
        first = self._refused.setdefault(bound.shown, who)
        given, shown = [uuid_digits(unit.uuid) for unit in devices], bound.shown
        told = (
            f"{who} was given {self._names(given)}, and CUDA in this process shows {self._names(shown)}:"
            f" {self._culprit} initialised it.",
            f"As for {first}." if first != who else WAY_OUT,
        )
        return "\n".join(told)

    def _names(self, found: Sequence[str]) -> str:
        return ", ".join(self._known.get(digits, f"another GPU, {digits[:8]}…") for digits in found) or "no GPU"


def own_process(config: pytest.Config) -> OwnProcess:
    """That of the session."""
    if OWN_PROCESS not in config.stash:
        config.stash[OWN_PROCESS] = OwnProcess()
    return config.stash[OWN_PROCESS]
