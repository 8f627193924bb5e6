"""The server under test in an ordinary test: launch it on a simulated machine, and see what its workers used."""

from __future__ import annotations

from typing import Any

from ..inventory import Inventory
from ..masks import Mask, written
from ..profile import Profile
from ..records import LaunchRecord, Scenario
from ..suite import ServerSubject


class GpuServer:
    """The server of --gpu-server, and the machine that it is launched on."""

    def __init__(self, subject: ServerSubject) -> None:
        self._subject = subject

    @property
    def name(self) -> str:
        return self._subject.name

    @property
    def version(self) -> str:
        """As its own version command says."""
        return self._subject.version

    @property
    def profile(self) -> Profile:
        return self._subject.profile

    @property
    def inventory(self) -> Inventory:
        """The machine of --gpu-inventory, by default ``a100x8``."""
        return self._subject.machine(self._subject.inventory)

    def launch(self, visible: Mask | None = None, *, groups: int = 1, devices: int = 1, **more: Any) -> LaunchRecord:
        """Launch ``groups`` workers of ``devices`` GPUs each, ask each of them once, stop them; what was seen.

        The same launch is made once a session. Nothing of it is left when this returns.

        :param visible: CUDA_VISIBLE_DEVICES of the launcher, a number, a device or a list of those too; None: not set.
        :param more: further fields of :class:`~pytest_gpuvisibility.records.Scenario`, such as ``device_order``,
            ``inventory`` (a name), ``environ`` or ``ending``.
        :raises TypeError: a field that does not exist.
        """
        fields = {"inventory": self._subject.inventory, **more}
        mask = None if visible is None else written(visible)
        return self._subject.launcher.launch(Scenario(visible=mask, groups=groups, devices=devices, **fields))
