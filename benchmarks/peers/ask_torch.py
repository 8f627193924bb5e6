"""PyTorch's reading: how many devices, and which index of NVML's it takes each of them for."""

from __future__ import annotations

import torch.cuda
from answering import Answer, answer_all


def ask() -> Answer:
    count = torch.cuda._device_count_nvml()
    if count < 0:
        return {"silent": "asks the CUDA runtime"}
    uuids = torch.cuda._raw_device_uuid_nvml() if count else []
    return {"uuids": [uuids[torch.cuda._get_nvml_device_index(position)] for position in range(count)]}


if __name__ == "__main__":
    answer_all("torch", ask)
