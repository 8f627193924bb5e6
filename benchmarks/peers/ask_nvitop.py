"""nvitop's own reading, which it uses where no CUDA driver answers: none may, in the environment of this script."""

from __future__ import annotations

from answering import Answer, answer_all
from nvitop import Device


def ask() -> Answer:
    uuids = Device.normalize_cuda_visible_devices()
    return {"uuids": uuids.split(",") if uuids else []}


if __name__ == "__main__":
    answer_all("nvitop", ask)
