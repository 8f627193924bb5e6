"""What the CUDA driver itself was asked, and what it answered."""

from __future__ import annotations

from dataclasses import dataclass

from ..environment import describe_mask, shortened_mask
from .keys import key_of

SUCCESS, NO_DEVICE, NO_DRIVER = 0, 100, -1
"""What the probe answers: cuInit's CUresult, or -1 where no libcuda.so.1 with the functions it needs was found."""


@dataclass(frozen=True, slots=True)
class MaskQuery:
    """The two CUDA variables of a process; None means unset."""

    visible: str | None = None
    device_order: str | None = None

    @property
    def key(self) -> str:
        """The same for the same query, in every process."""
        return key_of([self.visible, self.device_order])

    def describe(self) -> str:
        """The variables as one would type them, without most of a UUID and of a long list."""
        order = "" if self.device_order is None else f", CUDA_DEVICE_ORDER={shortened_mask(self.device_order)}"
        return describe_mask(self.visible and shortened_mask(self.visible)) + order


@dataclass(frozen=True, slots=True)
class MaskAnswer:
    """What the driver showed: cuInit's ``result``, and UUIDs in CUDA's order, as the inventory writes them.

    ``admissible`` are the lists of UUIDs that the resolver allows, its default first.
    """

    query: MaskQuery
    result: int
    devices: tuple[str, ...]
    admissible: tuple[tuple[str, ...], ...]

    @property
    def admitted(self) -> bool:
        """Whether the resolver allows it. To show no device is to fail with CUDA_ERROR_NO_DEVICE."""
        return self.devices in self.admissible and self.result == (SUCCESS if self.devices else NO_DEVICE)

    @property
    def settled(self) -> bool:
        """Whether the evidence allows one answer only."""
        return len(self.admissible) == 1
