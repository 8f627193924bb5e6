"""What each GPU returns for each of some fields."""

import json

import pynvml

pynvml.nvmlInit()
FIELDS = [
    pynvml.NVML_FI_DEV_POWER_INSTANT,
    pynvml.NVML_FI_DEV_MEMORY_TEMP,
    pynvml.NVML_FI_DEV_NVLINK_LINK_COUNT,
    pynvml.NVML_FI_DEV_REMAPPED_UNC,
    pynvml.NVML_FI_DEV_RETIRED_DBE,
    9999,
]
print(
    json.dumps(
        [
            [
                value.nvmlReturn
                for value in pynvml.nvmlDeviceGetFieldValues(pynvml.nvmlDeviceGetHandleByIndex(index), FIELDS)
            ]
            for index in range(4)
        ]
    )
)
