"""A witness of a third party: who touched any device touched the first."""

from dataclasses import replace
from pathlib import Path

from pytest_gpuvisibility.inventory import RealMachine
from pytest_gpuvisibility.witness import NvmlWitness


class Blaming(NvmlWitness):
    def accounts(self, suspects):
        first = self._hardware.devices[0].uuid
        found = super().accounts(suspects)
        return {pid: replace(a, touched=(first,), touched_at=()) if a.touched else a for pid, a in found.items()}

    def close(self):
        super().close()
        with Path("closed").open("a") as file:
            print("closed", file=file)


def pytest_gpu_witness(machine):
    assert isinstance(machine, RealMachine)
    return Blaming(machine.inventory)
