"""What PyTorch counts through NVML, as it does before a fork, where it must not initialise CUDA."""

import json

import torch

print(json.dumps({"all": torch.cuda._raw_device_count_nvml(), "visible": torch.cuda._device_count_nvml()}))
